"""``docs/client.md`` and ``docs/producers.md``: their examples run as they stand there."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.front import served, worked
from tests.ledgers import Ledger
from tests.patience import PATIENCE
from tests.repository.pages import ROOT
from workers import face

ADDRESS = "http://127.0.0.1:5000"  #: in the pages


def examples(page: str, language: str) -> list[str]:
    """The examples of a page in one language, in order."""
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert found, f"{page} has no example in {language}"
    return found


def busy_once(app: Callable[..., Any]) -> Callable[..., Any]:
    """A door that is busy at the first knock, and keeps the answer to the second for itself."""
    knocks = []

    def door(environ: Any, start: Any) -> Any:
        knocks.append(environ.get("HTTP_IDEMPOTENCY_KEY"))
        if len(knocks) == 2:
            for _ in app(environ, lambda *args: None):
                pass
        if len(knocks) <= 2:
            start("503 Service Unavailable", [("Retry-After", "1"), ("Content-Length", "0")])
            return []
        return app(environ, start)

    return door


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    found = Ledger(database)
    for type_name in ("orders.created", "orders.shipped"):
        found.handler(type_name, lambda payload, ctx: payload, parse=face.parser(dict[str, int]), attempts=1)
    yield found
    found.check()


def run(ledger: Ledger, *words: str, folder: pathlib.Path) -> None:
    """A program that sends one event, to a door that is busy at first; it prints the id of the only one there is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    with served(ledger, busy_once) as url:
        done = subprocess.run(
            words, env={**kept, "MILLRACE_URL": url}, cwd=folder, capture_output=True, text=True,
            timeout=60 * PATIENCE, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [(only, producer)] = ledger.sql("select id::text, producer from millrace.events")
    assert (only in done.stdout, producer) == (True, "shop")


@pytest.mark.postgres
def test_the_examples_of_the_client_run_as_they_stand_there(
    ledger: Ledger, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILLRACE_API_KEY", raising=False)
    names: dict[str, Any] = {}
    # In a thread of their own: the browser of other tests keeps an event loop in this one.
    with served(ledger) as url, worked(ledger), concurrent.futures.ThreadPoolExecutor(1) as thread:
        for number, example in enumerate(examples("client.md", "python"), 1):
            code = compile(example.replace(ADDRESS, url), f"docs/client.md, example {number}", "exec")
            thread.submit(exec, code, names).result()
        names["client"].close()
    assert number >= 8


@pytest.mark.postgres
def test_curl_sends_again_until_it_is_taken(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    _, call = examples("producers.md", "sh")
    run(ledger, "sh", "-c", call, folder=tmp_path)


@pytest.mark.postgres
def test_python_without_the_client_sends_again_until_it_is_taken(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    [program] = examples("producers.md", "python")
    run(ledger, sys.executable, "-c", program, folder=tmp_path)


@pytest.mark.postgres
def test_javascript_sends_again_until_it_is_taken(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("there is no node here")
    [program] = examples("producers.md", "js")
    (tmp_path / "send.mjs").write_text(program)
    run(ledger, node, "send.mjs", folder=tmp_path)


def test_the_go_program_compiles(tmp_path: pathlib.Path) -> None:
    if (go := shutil.which("go")) is None:
        pytest.skip("there is no go here")
    [program] = examples("producers.md", "go")
    (tmp_path / "main.go").write_text(program)
    kept = os.environ | {"GO111MODULE": "off", "GOCACHE": str(tmp_path / "cache"), "GOFLAGS": ""}
    words = [go, "build", "-o", "send", "main.go"]
    done = subprocess.run(words, env=kept, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

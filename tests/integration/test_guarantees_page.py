"""``docs/guarantees.md``: its recipes are typed as they stand there, and print what the page says."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.local import ports
from tests import servers
from tests.patience import PATIENCE
from tests.processes import ROOT, Process

pytestmark = pytest.mark.heavy

PAGE = (ROOT / "docs/guarantees.md").read_text()
SETUP, *RECIPES = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
PROMISES = re.findall(r"^## (P\d)", PAGE, re.MULTILINE)
LONGEST = 90 * PATIENCE  #: seconds for one recipe


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """What stands before each recipe, with the addresses of a stack of our own."""
    servers.need_postgres()
    servers.need_rabbitmq()
    folder = tmp_path_factory.mktemp("sceptic")
    address = f"127.0.0.1:{ports.free()}"
    (folder / "bin").mkdir()
    for name, words in {"millrace": "-m service", "celery": "-m celery", "python": ""}.items():
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    settings = {"MILLRACE_APPS": "examples.proof", "MILLRACE_HTTP": address, "PYTHONPATH": str(ROOT)}
    stack = Process("stack", ["service", "stack"], kept | settings, folder)
    before = SETUP.replace("http://127.0.0.1:5000", f"http://{address}").replace(".venv/bin", "bin")
    before = re.sub(r"^stack=.*", f"stack={stack.pid}", before, flags=re.MULTILINE)
    try:
        stack.wait_for_text("Millrace is ready", 90)
        (folder / "setup").write_text(before)
        yield folder
    finally:
        stack.stop()
        print(stack.tail())  # noqa: T201  # Shown when a test has failed.


def type_in(folder: pathlib.Path, lines: str) -> str:
    """What a shell prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", lines], cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    return done.stdout


@pytest.mark.parametrize("number", range(len(RECIPES)), ids=PROMISES)
def test_a_recipe_prints_what_the_page_says(shell: pathlib.Path, number: int) -> None:
    recipe = RECIPES[number]
    wanted = "".join(f"{line[2:]}\n" for line in recipe.splitlines() if line.startswith("# "))
    assert wanted
    assert type_in(shell, ". ./setup\n" + recipe) == wanted


def test_there_is_a_recipe_for_each_promise() -> None:
    assert [f"P{n}" for n in range(1, 9)] == PROMISES
    assert len(RECIPES) == len(PROMISES)

"""Verbs that take many steps: a bar on a terminal shows them, and none is done twice when its answer is lost."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import pathlib
import pty
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest

from service.client import Client
from tests.front import served
from tests.integration.test_verbs import run
from tests.ledgers import Ledger
from tests.patience import PATIENCE
from tests.producers import Moody
from tests.repository.pages import ROOT

pytestmark = pytest.mark.postgres


@pytest.fixture
def ledger(database: str) -> Ledger:
    def fail(payload: Any, ctx: Any) -> None:
        raise RuntimeError("no")

    found = Ledger(database)
    found.handler("ledger.alone", print, bundle=1)
    found.handler("ledger.fails", fail, attempts=1, bundle=5)
    return found


@pytest.mark.parametrize(
    ("words", "state", "told"),
    [
        (("cancel",), "select count(*) from millrace.events where state = 'cancelled'", "0 cancelled for sure"),
        (("dead", "discard"), "select count(*) from millrace.dead where discarded_at is not null", "0 discarded"),
        (("replay",), "select count(*) from millrace.dead where replayed_as is not null", "0 replayed for sure"),
    ],
)
@pytest.mark.parametrize("mood", ["lost", 503])
def test_an_act_whose_answer_is_lost_is_not_done_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], state: str, told: str, mood: str | int
) -> None:
    ledger.post("ledger.fails", *range(6))
    if words != ("cancel",):
        ledger.work()
    way = Moody("pass", mood)  # It is counted, and then done.
    monkeypatch.setattr("service.client.Client", functools.partial(Client, transport=way))
    with served(ledger) as url:
        done = run(*words, "--type", "ledger.fails", "--limit", "2", "--yes", "--url", url)
    assert (done.exit_code, ledger.sql(state)) == (1, [(2 if mood == "lost" else 0,)])
    assert told in " ".join(done.stderr.split())
    assert "--dry-run" in done.stderr
    assert len(way.requests) == 2


def test_a_replay_does_not_take_more_than_was_asked_about(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.post("ledger.fails", *range(2))
    ledger.work()

    def sure(*_: Any, **__: Any) -> bool:
        ledger.post("ledger.fails", *range(3))  # They die while the operator thinks.
        ledger.work()
        return True

    monkeypatch.setattr("click.confirm", sure)
    with served(ledger) as url:
        done = run("replay", "--type", "ledger.fails", "--url", url)
    assert "2 replayed, 0 left" in done.stdout  # Of those that were counted.
    assert ledger.sql("select count(*) from millrace.dead where replayed_as is null") == [(3,)]
    assert "0 replayed, 0 left" in run("replay", "--type", "no.such", "--yes", MILLRACE_DATABASE_URL=ledger.url).stdout


@pytest.mark.parametrize("words", [("replay",), ("dead", "discard")])
@pytest.mark.parametrize("filters", [("--all",), ("--type", "ledger.fails", "--until", "2999-01-01T00:00Z")])
def test_what_dies_while_the_operator_types_takes_nobodys_place(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], filters: tuple[str, ...]
) -> None:
    [old] = ledger.post("ledger.fails", 0)  # The oldest, but it dies last.
    younger = ledger.post("ledger.fails", 1, 2)
    [last] = [delivery for delivery in ledger.tickets() if old in delivery.event_ids]
    for delivery in ledger.tickets():
        if delivery.ticket != last.ticket:
            ledger.executor.execute(delivery)

    def sure(*_: Any, **__: Any) -> str:
        ledger.executor.execute(last)  # While the operator thinks.
        return "2"

    monkeypatch.setattr("click.prompt", sure)
    monkeypatch.setattr("click.confirm", sure)
    with served(ledger) as url:
        done = run(*words, *filters, "--url", url)
    handled = "select event_id::text from millrace.dead where (replayed_as, discarded_at) is distinct from (null, null)"
    assert sorted(row[0] for row in ledger.sql(handled)) == sorted(younger)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"2 {words[-1]}ed, 0 left")


@pytest.mark.parametrize("words", [("replay",), ("dead", "discard")])
def test_all_of_them_are_taken_in_steps(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    ledger.post("ledger.fails", *range(5))
    ledger.work()
    for name in ("MOST", "STEP"):
        monkeypatch.setattr(f"service.verbs.letters.{name}", 2)
    with served(ledger) as url:
        dry = run(*words, "--all", "--dry-run", "--url", url).stdout
        assert ("5" if words == ("dead", "discard") else "not checked: 3 more") in dry
        done = run(*words, "--all", "--url", url, stdin="5\n")
        assert f"5 {words[-1]}ed, 0 left" in done.stdout
        nothing = run(*words, "--all", "--url", url)
    assert (nothing.exit_code, nothing.stderr) == (0, "")
    assert ("nothing to discard" if words == ("dead", "discard") else "0 replayed, 0 left") in nothing.stdout


def test_a_terminal_is_shown_a_bar_and_a_pipe_is_not(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text("".join(json.dumps({"type": "ledger.alone", "payload": n}) + "\n" for n in range(1_500)))
    with served(ledger) as url:
        sent, told = on_a_terminal("send", "--lines", str(file), "--url", url)
        assert (sent, "1500 accepted" in told) == (0, True)
        done, shown = on_a_terminal("cancel", "--type", "ledger.alone", "--yes", "--json", "--url", url)
        assert (done, "1500/1500" in shown) == (0, True)
        quiet = run("send", "--lines", str(file), "--url", url)
    assert "1000/" in told or "1500/" in told
    assert all("━" in one and "0:00:0" in one for one in (told, shown))
    assert ("━" in quiet.stdout + quiet.stderr, quiet.stderr) == (False, "")


def on_a_terminal(*words: str) -> tuple[int, str]:
    """(exit code, all that a terminal of 80 columns was shown) of a command that runs on it."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {"PATH": os.defpath, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    command = subprocess.Popen(
        [sys.executable, "-m", "service", *words], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    )
    os.close(terminal)
    shown = b""
    try:
        while True:
            shown += os.read(controller, 65_536)
    except OSError:  # The last who had it open has gone (EIO).
        return command.wait(30 * PATIENCE), shown.decode()
    finally:
        os.close(controller)
        command.kill()

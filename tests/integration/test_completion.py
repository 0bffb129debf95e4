"""What a shell is told when somebody presses TAB: verbs, options, and the names that Millrace has."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.verbs import completion
from tests.front import served
from tests.integration.test_verbs import run
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait, within
from tests.repository.pages import ROOT

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def url(shared_database: str) -> Iterator[str]:
    ledger = Ledger(shared_database)
    ledger.handler("ledger.step", print)
    ledger.handler("ledger.alone", print, queue="reports")
    with served(ledger) as url:
        for name in ("nightly", "nightshift"):
            done = run("schedules", "create", name, "--type", "ledger.step", "--every", "1h", "--url", url)
            assert done.exit_code == 0, done.stderr
        yield url
    ledger.sql("truncate millrace.schedules cascade")


def asked(line: str, shell: str = "bash", **environment: str) -> list[str]:
    """What ``millrace`` answers to a shell that asks how this line may go on."""
    words = line.split(" ")
    if shell == "fish":  # It gives what is typed by now apart.
        given = {"COMP_WORDS": line, "COMP_CWORD": words[-1]}
    else:
        given = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = run(_MILLRACE_COMPLETE=f"{shell}_complete", **given, **environment)
    assert done.stderr == ""
    return [one for one in done.stdout.splitlines() if one]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_its_script(shell: str) -> None:
    script = run("completion", shell).stdout
    assert f"_MILLRACE_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_each_shell_gets_verbs_options_and_choices_in_its_words() -> None:
    assert asked("millrace events e") == ["plain,explain"]
    kind, word, told = asked("millrace events e", "zsh")
    assert (kind, word, told[:32]) == ("plain", "explain", "Say why an event is not running,")
    assert asked("millrace events e", "fish") == [f"plain,explain\t{told}"]
    assert asked("millrace cancel --pro") == ["plain,--producer"]
    assert asked("millrace dead --reason w") == ["plain,worker_lost"]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("millrace send ledger.", ["ledger.alone", "ledger.step"]),
        ("millrace pause ledger.s", ["ledger.step"]),
        ("millrace events list --type led", ["ledger.alone", "ledger.step"]),
        ("millrace resume --queue rep", ["reports"]),
        ("millrace schedules show night", ["nightly", "nightshift"]),
        ("millrace schedules pause nightly night", ["nightshift"]),
        ("millrace schedules create night", []),
    ],
)
@pytest.mark.parametrize("shell", completion.SHELLS)
def test_names_are_those_of_the_millrace_at_the_address(
    url: str, shell: str, line: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.verbs.names.PATIENCE", 20.0 * PATIENCE)  # Nobody sits there.
    found = asked(line, shell, MILLRACE_URL=url)
    assert [one for one in found if one.strip("_plain,")] == {
        "bash": [f"plain,{name}" for name in names],
        "zsh": names,
        "fish": [f"plain,{name}" for name in names],
    }[shell]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_itself_completes_a_line(url: str, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "millrace"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m service "$@"\n')
    program.chmod(0o755)
    script = run("completion", "bash").stdout + (
        'COMP_WORDS=(millrace send ledger.s); COMP_CWORD=2; _millrace_completion millrace; echo "${COMPREPLY[@]}"\n'
    )
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MILLRACE_URL": url, "PYTHONPATH": str(ROOT)}
    words = ["bash", "--norc", "-i", "-c", script]

    def answer() -> list[str]:
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout.split()

    # On a busy machine it may be that nothing is known in time, once or twice.
    wait(lambda: answer() == ["ledger.step"], 60, "bash was told the name")


def test_nobody_waits_for_a_millrace_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # It takes the connection, and says nothing.
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with within(3.0):  # It is tried for less than one, and other verbs wait for ten.
            assert asked("millrace send ledger.", MILLRACE_URL=where) == []
    with within(3.0):
        assert asked("millrace send ledger.", MILLRACE_URL=where) == []
    for wrong in ("nonsense", "http://[", ""):
        assert asked("millrace send ledger.", MILLRACE_URL=wrong) == []
    assert asked("millrace send ledger.", MILLRACE_DATABASE_URL="postgresql://127.0.0.1:9/none") == []

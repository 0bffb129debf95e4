"""``docs/tutorial.md``: a stranger's first hour, typed as it stands there."""

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
from tests.patience import PATIENCE, wait
from tests.processes import ROOT, Process

pytestmark = pytest.mark.heavy

PAGE = (ROOT / "docs/tutorial.md").read_text()
#: (what stands before it, language, content) of each block, in order.
BLOCKS = re.findall(r"([^\n]*)\n\n```(\w*)\n(.*?)```", PAGE, re.DOTALL)
LONGEST = 40 * PATIENCE  #: seconds for one block


class Hour:
    """The two terminals."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{ports.free()}"
        self.running: Process | None = None
        self._before = ""
        self._runs = 0

    def make_run(self, command: str) -> None:
        """The first terminal, after Ctrl-C there. `make run` is `millrace up` with an application."""
        self.stop()
        apps = re.match(r"(?:MILLRACE_APPS=(\w+) )?make run\n\Z", command)
        assert apps, command
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
        path = [str(self.folder), str(ROOT / "examples/numbers"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = kept | {"PYTHONPATH": os.pathsep.join(path), "MILLRACE_HTTP": self.address}
        environment["MILLRACE_APPS"] = apps[1] or "numbers_app"
        self._runs += 1
        self.running = Process(f"run-{self._runs}", ["service", "up"], environment, self.folder)
        running = self.running
        wait(lambda: "Millrace is ready" in running.text() or running.code is not None, 90, "it is ready")
        assert running.code is None, running.tail()

    def type_in(self, lines: str) -> str:
        """The second terminal, which remembers its variables and functions; what it prints."""
        lines = lines.replace("http://127.0.0.1:5000", f"http://{self.address}").replace(".venv/bin", "bin")
        path = [str(self.folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            ["bash", "-c", f"{self._before}\necho ---\n{lines}"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        remembered = re.findall(r"^(?:export .*|\w+\(\) \{.*\})$", lines, re.MULTILINE)
        self._before = "\n".join([self._before, *remembered])
        return done.stdout.partition("---\n")[2]

    def stop(self) -> None:
        """Ctrl-C in the first terminal."""
        if self.running is not None:
            self.running.stop()


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    """A folder like that of Millrace."""
    servers.need_postgres()
    folder = tmp_path_factory.mktemp("hour")
    (folder / "bin").mkdir()
    program = folder / "bin/millrace"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m service "$@"\n')
    program.chmod(0o755)
    found = Hour(folder)
    yield found
    found.stop()
    if found.running is not None:
        print(found.running.tail())  # noqa: T201  # Shown when a test has failed.


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_step_does_what_the_page_says(hour: Hour, number: int) -> None:
    """In their order; each needs those before it."""
    before, language, content = BLOCKS[number]
    if language == "":
        hour.make_run(content)
    elif language == "python":
        (name,) = re.findall(r"`(shop/\w+\.py)`", before)
        (hour.folder / name).write_text(content)
    else:
        assert language == "sh"
        wanted = "".join(f"{line[2:]}\n" for line in content.splitlines() if line.startswith("# "))
        assert hour.type_in(content) == wanted


def test_the_page_has_all_parts() -> None:
    assert [language for _, language, _ in BLOCKS].count("") == 3
    assert len(BLOCKS) == PAGE.count("\n```") // 2

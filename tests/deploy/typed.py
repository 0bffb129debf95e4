"""What a page says is typed: the blocks that are marked ``console``, in a shell, and what each command prints.

A command follows ``$ ``; lines below it that are indented belong to it, all others are what it prints; ``…`` stands for
anything. Programs that are not here, such as docker, are stood for by small ones of the test's (``stand_in``).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping

from tests.patience import PATIENCE
from tests.processes import ROOT

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LONGEST = 60 * PATIENCE  #: seconds for one command


@dataclasses.dataclass(frozen=True)
class Command:
    """What is typed, and what is printed then."""

    text: str
    prints: str

    def check(self, printed: str) -> None:
        """Fails if something else was printed."""
        pattern = ".*".join(re.escape(part) for part in self.prints.split("…"))
        assert re.fullmatch(pattern, printed), f"$ {self.text}\n{printed}"


def commands(page: str) -> list[list[Command]]:
    """The commands of each block of a page, or of a part of one."""
    return [list(_commands(block)) for block in BLOCK.findall(page)]


def _commands(block: str) -> Iterator[Command]:
    for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, *rest = text.splitlines()
        inside = [line for line in rest if line.startswith("  ")]
        printed = "".join(f"{line}\n" for line in rest if not line.startswith("  "))
        yield Command("\n".join([first, *inside]), printed)


class Shell:
    """A terminal in a folder. It remembers aliases."""

    def __init__(self, folder: pathlib.Path, places: Mapping[str, str]) -> None:
        self.folder = folder
        self.places = dict(places)  #: texts that stand for something else here
        self.longest = LONGEST
        self._aliases: list[str] = ["shopt -s expand_aliases"]
        (folder / "bin").mkdir()

    def stand_in(self, program: str, *words: str) -> None:
        """Have a module of ours called in the place of a program: ``python -m`` these words and what is typed."""
        path = self.folder / "bin" / program
        path.write_text(f'#!/bin/sh\ncd {ROOT} && exec {shlex.join([sys.executable, "-m", *words])} "$@"\n')
        path.chmod(0o755)

    def type_in(self, command: Command) -> None:
        """Type it, and look at what is printed."""
        text = command.text
        for place, here in self.places.items():
            text = text.replace(place, here)
        if text.startswith("alias "):
            self._aliases.append(text)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
        done = subprocess.run(
            ["bash", "-c", "\n".join([*self._aliases, text])],
            cwd=self.folder,
            env=kept | {"PATH": f"{self.folder}/bin:{kept['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.longest,
            check=False,
        )
        command.check(done.stdout)

"""A Dockerfile, read: stages, and the instructions of each."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shlex

from tests.processes import ROOT

PATH = ROOT / "deploy/Dockerfile"
IGNORED = ROOT / "deploy/Dockerfile.dockerignore"


@dataclasses.dataclass
class Stage:
    """What stands between two FROM."""

    name: str
    base: str
    instructions: list[tuple[str, str]]

    def all(self, word: str) -> list[str]:
        """What is said after each instruction of this kind."""
        return [rest for kind, rest in self.instructions if kind == word]

    def last(self, word: str) -> str:
        """What the last one says, which is what holds."""
        return self.all(word)[-1]

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(pair.split("=", 1) for rest in self.all("ENV") for pair in shlex.split(rest))

    def words(self, word: str) -> list[str]:
        """The words of a CMD or a HEALTHCHECK in their JSON form."""
        return list(json.loads(self.last(word)[self.last(word).index("[") :]))


def read(path: pathlib.Path = PATH) -> tuple[dict[str, str], list[Stage]]:
    """(the arguments with their defaults, the stages)."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(None, 1)
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(name, base, []))
        elif word == "ARG" and not stages:
            name, _, default = rest.partition("=")
            arguments[name] = default
        else:
            stages[-1].instructions.append((word, rest))
    return arguments, stages

"""The compose file as an engine reads it: anchors merged, variables put in; and each service as a process here."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.deploy import dockerfile
from tests.processes import ROOT

FOLDER = ROOT / "deploy/compose"
FILES = ("compose.yaml", "apps.yaml")
#: $$, ${NAME} and ${NAME:-default}: what we use of it.
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")
UNITS = {"s": 1.0, "m": 60.0}


def read(*files: str, **variables: str) -> dict[str, Any]:
    """The document, with these variables in the environment; of these files, or of all that the page has one type."""
    found: dict[str, Any] = {}
    for name in files or FILES:
        document = yaml.safe_load((FOLDER / name).read_text())
        part = _filled({key: value for key, value in document.items() if not key.startswith("x-")}, variables)
        found = _merged(found, part)
    return found


def _merged(one: Any, other: Any) -> Any:
    """As compose puts a second file over a first: names are joined, lists are one after the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {name: _merged(one[name], part) if name in one else part for name, part in other.items()}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    return other


def ours(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run Millrace's image."""
    return {name: s for name, s in document["services"].items() if s["image"] == "millrace"}


def seconds(duration: str) -> float:
    """A duration in seconds."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([ms])", duration))


class Native:
    """Services as processes of this machine: the image's environment and theirs, with places put in for others.

    ``places`` are texts that stand for something in a container → what stands for it here. ``folder`` is the compose
    file's, or a copy of it.
    """

    def __init__(self, document: dict[str, Any], folder: pathlib.Path) -> None:
        self.document = document
        self.folder = folder

    def environment(self, name: str, places: dict[str, str]) -> dict[str, str]:
        """What a service finds in its environment."""
        _, stages = dockerfile.read()
        service = self.document["services"][name]
        given = stages[-1].environment() | {k: str(v) for k, v in service.get("environment", {}).items()}
        return {k: self.placed(service, v, places) for k, v in given.items()}

    def placed(self, service: dict[str, Any], text: str, places: dict[str, str]) -> str:
        """A text with the paths of this machine in the place of those in the container."""
        return replaced(text, dict(self.files(service)) | dict(self._volumes(service)) | places)

    def health(self, name: str, places: dict[str, str]) -> list[str]:
        """The words of a service's health check."""
        kind, *words = self.document["services"][name]["healthcheck"]["test"]
        assert kind == "CMD", shlex.join(words)
        return [replaced(word, places) for word in words]

    def files(self, service: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """(where it is mounted, the file here) of each secret and configuration."""
        for secret in service.get("secrets", ()):
            source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
            path = self.folder / self.document["secrets"][source]["file"]
            yield target if target.startswith("/") else f"/run/secrets/{target}", os.path.normpath(path)
        for config in service.get("configs", ()):
            yield config["target"], os.path.normpath(self.folder / self.document["configs"][config["source"]]["file"])

    @staticmethod
    def _volumes(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for volume in service.get("volumes", ()):
            source, target, mode = volume.split(":")
            assert mode == "ro"
            yield target, os.path.normpath(FOLDER / source)


def replaced(text: str, places: Mapping[str, str]) -> str:
    """A text with others in the place of some; in one go, so that nothing is replaced in what has been put in."""
    longest_first = sorted(places, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: places[found[0]], text) if places else text


def _filled(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, variables) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, variables) for part in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda m: m[1] or variables.get(m[2]) or m[3] or "", value)
    return value

"""The compose file as an engine reads it: anchors merged, variables put in; and each service as a process here."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from tests.deploy import dockerfile
from tests.processes import ROOT

FOLDER = ROOT / "deploy/compose"
#: $$, ${NAME} and ${NAME:-default}: what we use of it.
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")
UNITS = {"s": 1.0, "m": 60.0}


def read(**variables: str) -> dict[str, Any]:
    """The document, with these variables in the environment."""
    document = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    found = _filled({name: part for name, part in document.items() if not name.startswith("x-")}, variables)
    assert isinstance(found, dict)
    return found


def ours(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run Millrace's image."""
    return {name: s for name, s in document["services"].items() if s["image"] == "millrace"}


def seconds(duration: str) -> float:
    """A duration in seconds."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([ms])", duration))


class Native:
    """Services as processes of this machine: the image's environment and theirs, with places put in for others.

    ``places`` are texts that stand for something in a container → what stands for it here.
    """

    def __init__(self, document: dict[str, Any], secrets: pathlib.Path) -> None:
        self.document = document
        self.secrets = secrets

    def environment(self, name: str, places: dict[str, str]) -> dict[str, str]:
        """What a service finds in its environment."""
        _, stages = dockerfile.read()
        service = self.document["services"][name]
        given = stages[-1].environment() | {k: str(v) for k, v in service.get("environment", {}).items()}
        files = {f"/run/secrets/{secret}": str(self.secrets / secret) for secret in service["secrets"]}
        return {k: _replaced(v, files | dict(self._volumes(service)) | places) for k, v in given.items()}

    def health(self, name: str, places: dict[str, str]) -> list[str]:
        """The words of a service's health check."""
        kind, *words = self.document["services"][name]["healthcheck"]["test"]
        assert kind == "CMD", shlex.join(words)
        return [_replaced(word, places) for word in words]

    @staticmethod
    def _volumes(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for volume in service["volumes"]:
            source, target, mode = volume.split(":")
            assert mode == "ro"
            yield target, os.path.normpath(FOLDER / source)


def _replaced(text: str, places: dict[str, str]) -> str:
    for place, here in places.items():
        text = text.replace(place, here)
    return text


def _filled(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, variables) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, variables) for part in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda m: m[1] or variables.get(m[2]) or m[3] or "", value)
    return value

"""What Millrace runs on: packages of requirements.lock that it asks for, and the files for browsers in its wheel."""

from __future__ import annotations

import configparser
import dataclasses
import functools
import re
import runpy
from typing import Any

from deploy.release import EXTRAS, ROOT

VENDOR = ROOT / "service/web/console/static/vendor"


@dataclasses.dataclass(frozen=True, slots=True)
class Package:
    """One package of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]  #: SHA-256 of its archives, in hexadecimal
    asked_by: frozenset[str]  #: who needs it: packages, or ``millrace``
    optional: bool  #: only an extra asks for it


@dataclasses.dataclass(frozen=True, slots=True)
class Asset:
    """Something for browsers, in the wheel as it was published."""

    name: str  #: in npm's registry
    version: str
    licence: str  #: SPDX
    files: tuple[str, ...]  #: below VENDOR
    text: str  #: its licence, likewise


ASSETS = (
    Asset("htmx.org", "2.0.11", "0BSD", ("htmx.min.js",), "htmx.LICENSE"),
    Asset("idiomorph", "0.8.0", "0BSD", ("idiomorph-ext.min.js",), "idiomorph.LICENSE"),
    Asset("uplot", "1.6.32", "MIT", ("uPlot.iife.min.js", "uPlot.min.css"), "uPlot.LICENSE"),
)


def read() -> list[Package]:
    """The packages, by name."""
    needed = _packages(lock(()))
    found = []
    for name, (block, askers) in sorted(_packages(lock()).items()):
        version = re.match(r"[^=]+==(\S+)", block)[1]  # type: ignore[index]
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        found.append(Package(name, version, hashes, frozenset(askers), name not in needed))
    return found


def lock(extras: tuple[str, ...] = EXTRAS) -> str:
    """The part of requirements.lock that runs: names, versions and hashes."""
    text: str = _locked()["wanted"]((ROOT / "requirements.lock").read_text(), extras, setup())
    return text


@functools.cache
def setup() -> configparser.ConfigParser:
    """What setup.cfg says."""
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def _packages(text: str) -> dict[str, tuple[str, set[str]]]:
    found: dict[str, tuple[str, set[str]]] = _locked()["packages"](text)
    return found


@functools.cache
def _locked() -> dict[str, Any]:
    """``deploy/locked``, which an image runs where there is nothing but Python."""
    return runpy.run_path(str(ROOT / "deploy/locked"))

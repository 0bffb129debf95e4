"""Results that are kept under ``bench/results``, to be shown in the docs and compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import results
from bench.errors import BenchError
from bench.results import Measurement

FOLDER = Path(__file__).with_name("results")


def write(document: Mapping[str, Any], kind: str, taken_at: str, folder: Path = FOLDER) -> Path:
    """Keep a document; its file says when it was taken and what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{taken_at.replace(' ', 'T').replace(':', '')}-{kind}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def newest(kind: str, folder: Path = FOLDER) -> Path | None:
    """The newest file of that kind, such as ``full`` or ``soak``."""
    return max(folder.glob(f"20??-??-??T????-{kind}.json"), default=None)


def newest_document(kind: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """What the newest file of that kind holds."""
    path = newest(kind, folder)
    if path is None:
        return None
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def read(path: Path) -> Measurement:
    """The measurement in a file."""
    try:
        return results.from_document(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} holds no measurement: {error!r}") from None


def newest_of(profile: str, folder: Path = FOLDER) -> Measurement | None:
    """The newest measurement of a profile."""
    path = newest(profile, folder)
    return read(path) if path else None

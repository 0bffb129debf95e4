"""Logging that is set up in a test, and ends with it."""

from __future__ import annotations

import logging
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service import settings
from service.telemetry import logging as logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """What is set up in a test ends with it."""
    root = logging.getLogger()
    names = ["", *logs.GUESTS, *logs.CHATTY]
    before = [(n, (found := logging.getLogger(n)).level, found.handlers[:], found.propagate) for n in names]
    hooks, raising = (threading.excepthook, sys.excepthook), logging.raiseExceptions
    yield
    for handler in root.handlers:
        if isinstance(handler, logs.Handler):
            handler.sink.close()
    for name, level, handlers, propagate in before:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
    (threading.excepthook, sys.excepthook), logging.raiseExceptions = hooks, raising
    logging.captureWarnings(False)


@pytest.fixture
def written(tmp_path: pathlib.Path) -> Iterator[Callable[..., list[str]]]:
    """A function that sets up logging at its first call, and gives the lines so far at each."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def read(**given: Any) -> list[str]:
        if given:
            logs.configure(settings.Settings(**given), "web", fd=fd)
        return path.read_text().splitlines()

    yield read
    os.close(fd)

"""Which tests go to one process of pytest-xdist together, and in which order.

A process takes the next scope, a class or a file, when it has hardly anything left. So what takes long must begin
first: a long scope at the end would leave all other processes without work.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: The files and folders that take longest, the longest first; whatever is not named comes after them, as it stands.
LONG = (
    "tests/monitoring/",
    "tests/browser/",
    "tests/e2e/",
    "tests/faults/",
    "tests/unit/test_model.py",
    "tests/deploy/",
    "tests/inputs/",
    "tests/integration/",
)
#: Folders whose tests share what takes long to start: processes, a browser.
TOGETHER = ("tests/browser/", "tests/e2e/", "tests/monitoring/live/")


def sort(items: list[pytest.Item]) -> None:
    """Put tests into the order in which they begin."""
    items.sort(key=lambda item: next((n for n, begin in enumerate(LONG) if item.nodeid.startswith(begin)), len(LONG)))


class Scheduler(LoadScopeScheduling):
    """What ``--dist loadscope`` does, but for this order, and for folders that stay together."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False  # Else the scopes with the most tests would begin.
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

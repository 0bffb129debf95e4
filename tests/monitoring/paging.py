"""What comes out at the end of an alert's way: a webhook that keeps the pages, and an operator's shell."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from service.local.monitoring import Receiver
from service.local.rabbitmq import RabbitNode
from tests.patience import PATIENCE


class Pages:
    """What came out at the webhook, with the instants."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str, dict[str, Any]]] = []  #: when (monotonic), to whom, the alert
        self.receiver = Receiver(lambda who, alert: self.told.append((time.monotonic(), who, alert)))

    def find(
        self, who: str, name: str, status: str = "firing", *, since: float = 0.0
    ) -> list[tuple[float, dict[str, Any]]]:
        """When this one was told of this alert, and what."""
        return [
            (at, alert)
            for at, receiver, alert in list(self.told)
            if at >= since and (receiver, alert["labels"]["alertname"], alert["status"]) == (who, name, status)
        ]


class Shell:
    """A shell that knows where things are, as docs/runbooks/README.md asks for."""

    def __init__(self, folder: pathlib.Path, node: RabbitNode, environment: Mapping[str, str]) -> None:
        tools = folder / "tools"
        tools.mkdir()
        given = " ".join(f"{name}='{value}'" for name, value in node.folder.environment().items())
        for name, words in {
            "millrace": f"{sys.executable} -m service",
            "rabbitmqctl": f"env -i {given} {node.folder.scripts}/rabbitmqctl",
        }.items():
            (tools / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (tools / name).chmod(0o755)
        self._environment = {**environment, "PATH": f"{tools}:{os.environ['PATH']}"}

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            ["/bin/sh", "-c", command], env=self._environment, capture_output=True, text=True,
            timeout=60 * PATIENCE, check=False,
        )  # fmt: skip

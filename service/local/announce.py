"""What `millrace up` and `millrace stack` tell once everything answers."""

from __future__ import annotations

import http.client
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

#: Seconds between two looks at /readyz.
STEP = 0.3
#: Seconds after which it is told what is still missing.
PATIENCE = 30.0


@dataclass(frozen=True)
class Announcement:
    """The addresses and what else a newcomer wants to know."""

    #: Where the web process listens, as it can be called from this machine.
    host: str
    port: int
    #: Port of /metrics by role.
    metrics: dict[str, int]
    #: Lines on the ledger and the broker: what they are and where their data lives.
    servers: list[str]
    #: A payload to try, as type and JSON; None when no app offers one.
    example: tuple[str, str] | None = None
    hint: str = field(default="Ctrl-C stops everything; the data stays.")

    @property
    def url(self) -> str:
        """The address of the web process."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def lines(self) -> list[str]:
        """The announcement, line by line."""
        metrics = ", ".join(f"{role} :{port}" for role, port in self.metrics.items())
        return [
            "",
            f"Millrace is ready on {self.url}",
            f"  console   {self.url}/console",
            f"  metrics   http://127.0.0.1:<port>/metrics: {metrics}",
            *(f"  {line}" for line in self.servers),
            f"  try       {self._try()}",
            f"  look      millrace status --url {self.url}",
            f"  {self.hint}",
            "",
        ]

    def _try(self) -> str:
        if self.example is None:
            return f"curl {self.url}/v1/types"
        type_name, payload = self.example
        header = "-H 'Content-Type: application/json'"
        return f"curl {self.url}/v1/events/{type_name} {header} -d {shlex.quote(payload)}"


def when_ready(announcement: Announcement, ready: threading.Event, say: Callable[[str], None]) -> threading.Thread:
    """Wait in a thread until /readyz says yes, then tell and set ``ready``."""

    def wait() -> None:
        waited, pause = 0.0, threading.Event()
        while (reason := _not_ready(announcement)) is not None:
            waited += STEP
            if waited >= PATIENCE:
                say(f"not ready yet: {reason}")
                waited = 0.0
            pause.wait(STEP)
        ready.set()
        for line in announcement.lines():
            say(line)

    thread = threading.Thread(target=wait, name="announcement", daemon=True)
    thread.start()
    return thread


def _not_ready(announcement: Announcement) -> str | None:
    """Why it is not ready; None when it is."""
    connection = http.client.HTTPConnection(announcement.host, announcement.port, timeout=3)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(500).decode(errors="replace").strip()
        return None if answer.status == http.client.OK else f"{answer.status} {body}"
    except (OSError, http.client.HTTPException) as error:
        return f"{announcement.url}/readyz: {error}"
    finally:
        connection.close()

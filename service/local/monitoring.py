"""Prometheus and Alertmanager beside a Millrace on this machine: the rules of ``monitoring/``, targets of its own."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.local import ports, programs, spawn
from service.local.commands import Command, Console

SOURCE = Path(__file__).parents[2] / "monitoring"  #: in a checkout; the package does not hold it
RECEIVER = "http://127.0.0.1:9095"  #: what stands in the configuration of Alertmanager
FIRST = {"prometheus": 9090, "alertmanager": 9093}  #: first ports tried
RUNBOOKS = "millrace_runbooks"  #: external label in Prometheus' configuration; that of dashboards waits for a Grafana
KEPT = "15d"  #: how long Prometheus keeps samples


class Monitor:
    """A folder with the configuration and the data of both.

    ``targets``: job → addresses (``host:port``). ``receiver``: the URL that stands before ``/page``, ``/tickets`` and
    ``/heartbeat``. ``at``: program → port; without it, the first free ones from those that people know.
    """

    def __init__(
        self,
        folder: Path,
        *,
        targets: Mapping[str, Sequence[str]],
        receiver: str,
        at: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = spawn.private_folder(folder)
        self.ports = at or {name: ports.first_free(first, tries=100) for name, first in FIRST.items()}
        self.prometheus = f"http://{ports.LOOPBACK}:{self.ports['prometheus']}"
        self.alertmanager = f"http://{ports.LOOPBACK}:{self.ports['alertmanager']}"
        self._configure(targets, receiver)

    def programs(self) -> list[list[str]]:
        """The words that start the two, Alertmanager first."""
        return [self._alertmanager(), self._prometheus()]

    def commands(self, console: Console) -> list[Command]:
        """The two, to be started and watched over."""
        alertmanager, prometheus = self.programs()
        return [
            Command("alerts", alertmanager, console=console),
            Command("metrics", prometheus, console=console),
        ]

    def _configure(self, targets: Mapping[str, Sequence[str]], receiver: str) -> None:
        runbooks = (SOURCE.parent / "docs/runbooks").as_uri()
        if not (SOURCE / "prometheus").is_dir():
            raise spawn.LocalError(f"{SOURCE} is missing: this works in a checkout of Millrace")
        for name in ("rules", "targets"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(SOURCE / "prometheus/rules", self.folder / "rules")
        text = (SOURCE / "prometheus/prometheus.yml").read_text()
        text = text.replace(f'{RUNBOOKS}: ""', f'{RUNBOOKS}: "{runbooks}"')
        (self.folder / "prometheus.yml").write_text(text)
        (self.folder / "targets").mkdir()
        alertmanager = f"{ports.LOOPBACK}:{self.ports['alertmanager']}"
        for job, addresses in (dict(targets) | {"alertmanager": [alertmanager]}).items():
            text = json.dumps([{"targets": list(addresses)}])  # JSON is YAML, too.
            (self.folder / "targets" / f"{job}.yml").write_text(text + "\n")
        text = (SOURCE / "alertmanager/alertmanager.yml").read_text()
        (self.folder / "alertmanager.yml").write_text(text.replace(RECEIVER, receiver))

    def _prometheus(self) -> list[str]:
        return [
            str(programs.prometheus()),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--storage.tsdb.retention.time={KEPT}",
            f"--web.listen-address={ports.LOOPBACK}:{self.ports['prometheus']}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]

    def _alertmanager(self) -> list[str]:
        return [
            str(programs.alertmanager()),
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address={ports.LOOPBACK}:{self.ports['alertmanager']}",
            "--cluster.listen-address=",  # It is alone.
            "--log.level=warn",
        ]


class Receiver:
    """A webhook on this machine that tells what Alertmanager sends: who would be woken, and who would find a ticket."""

    def __init__(self, tell: Callable[[str, dict[str, Any]], None]) -> None:
        self._server = http.server.ThreadingHTTPServer((ports.LOOPBACK, 0), self._handler(tell))
        self.url = f"http://{ports.LOOPBACK}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def _handler(tell: Callable[[str, dict[str, Any]], None]) -> type[http.server.BaseHTTPRequestHandler]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    tell(self.path.strip("/"), alert)
                self.send_response(http.HTTPStatus.NO_CONTENT)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        return Handler


def in_words(receiver: str, alert: Mapping[str, Any]) -> str | None:
    """What a person is told of an alert, in one line; None for the heartbeat, which is told to machines."""
    if receiver == "heartbeat":
        return None
    labels, notes = alert["labels"], alert["annotations"]
    if alert["status"] == "resolved":
        return f"{receiver}: {labels['alertname']} is over"
    return f"{receiver}: {labels['alertname']}: {notes['summary']} {notes['description']} See {notes['runbook_url']}"

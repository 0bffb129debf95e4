"""Prometheus and Alertmanager of the compose file as processes here: their own words, and what is mounted."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from service.local import ports, programs, spawn
from tests.deploy import compose
from tests.patience import PATIENCE, wait

#: How often Prometheus looks, in the file and here.
PACE = {"scrape_interval: 15s": "scrape_interval: 1s", "scrape_timeout: 10s": "scrape_timeout: 1s"}
PORTS = {"prometheus": 9090, "alertmanager": 9093}  #: as they are published


class Watchers:
    """Both, in a folder that is the root of their containers. ``places``: addresses there → addresses here."""

    def __init__(self, document: dict[str, Any], folder: pathlib.Path, places: Mapping[str, str]) -> None:
        self.document = document
        self.folder = folder
        self.address = {name: f"{ports.LOOPBACK}:{ports.free()}" for name in PORTS}
        self._places = {**PACE, **places, "alertmanager:9093": self.address["alertmanager"]}
        self._logs = {name: folder / f"{name}.log" for name in PORTS}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Until they are well by their own health checks, and as long as somebody looks."""
        with contextlib.ExitStack() as stack:
            for name, path in {"alertmanager": programs.alertmanager(), "prometheus": programs.prometheus()}.items():
                log = stack.enter_context(self._logs[name].open("wb"))
                words = [str(path), *self._words(name), f"--web.listen-address={self.address[name]}"]
                process = spawn.spawn(words, environment=spawn.ENVIRONMENT, output=log, cwd=self.folder)
                stack.callback(spawn.kill, process)
            for name in PORTS:
                wait(lambda n=name: self.healthy(n), 30, f"{name} is healthy: {self.log(name)}", step=0.2)
            yield

    def healthy(self, name: str) -> bool:
        """What its health check says. Debian's promtool cannot ask yet: its question is asked here."""
        kind, *words = self.document["services"][name]["healthcheck"]["test"]
        url = f"http://127.0.0.1:{PORTS[name]}"
        assert kind == "CMD"
        if name == "prometheus":
            assert words == ["promtool", "check", "ready", f"--url={url}"]
            try:
                with urllib.request.urlopen(f"http://{self.address[name]}/-/ready", timeout=2):
                    return True
            except OSError:
                return False
        words = [word.replace(url, f"http://{self.address[name]}") for word in words]
        return subprocess.run(words, env=spawn.ENVIRONMENT, capture_output=True, check=False).returncode == 0

    def ask(self, what: str) -> Any:
        """What Prometheus' API says."""
        url = f"http://{self.address['prometheus']}/api/v1/{what}"
        with urllib.request.urlopen(url, timeout=20 * PATIENCE) as answer:
            return json.load(answer)["data"]

    def log(self, name: str) -> str:
        """The end of what it said."""
        return self._logs[name].read_text()[-2000:]

    def _words(self, name: str) -> list[str]:
        service = self.document["services"][name]
        targets = [self._mounted(volume) for volume in service["volumes"]]
        folders = {target: str(self.folder / target.lstrip("/")) for target in targets}
        return [compose.replaced(word, folders) for word in service["command"]]

    def _mounted(self, volume: str) -> str:
        """Lay out what is mounted; where."""
        source, target, *_ = volume.split(":")
        here = self.folder / target.lstrip("/")
        origin = compose.FOLDER / source
        here.parent.mkdir(parents=True, exist_ok=True)
        if not source.startswith("."):
            here.mkdir()
        elif origin.is_dir():
            shutil.copytree(origin, here)
        else:
            shutil.copy(origin, here)
        for path in [here, *here.rglob("*")]:
            if path.is_file():
                path.write_text(compose.replaced(path.read_text(), self._places))
        return target

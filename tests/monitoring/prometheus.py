"""A Prometheus of a test's own."""

from __future__ import annotations

import json
import pathlib
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from service.local import ports, programs, spawn
from tests.patience import wait

#: A job's name → (path, {instance: address}).
Jobs = Mapping[str, tuple[str, Mapping[str, str]]]


class Prometheus:
    """A server that scrapes what it is told, every second."""

    def __init__(self, folder: pathlib.Path, jobs: Jobs, rules: Sequence[pathlib.Path] = ()) -> None:
        self.folder = folder
        self.port = ports.free()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [_job(name, *given) for name, given in jobs.items()],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML.
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Prometheus:
        """Start it, and wait until it answers."""
        words = [
            str(programs.prometheus()),
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={ports.LOOPBACK}:{self.port}",
            "--log.level=warn",
        ]
        with (self.folder / "log").open("wb") as log:
            self._process = spawn.spawn(words, environment=spawn.ENVIRONMENT, output=log, cwd=self.folder)
        wait(self._is_ready, 20, f"Prometheus is ready: {(self.folder / 'log').read_text()[-500:]}")
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def now(self, expr: str) -> list[Any]:
        """The series of an instant query; raises AssertionError for a question that is wrong."""
        return list(self._ask("query", query=expr)["result"])

    def over(self, expr: str, start: float, end: float, step: float) -> list[Any]:
        """The series of a range query."""
        return list(self._ask("query_range", query=expr, start=start, end=end, step=step)["result"])

    def rules(self) -> list[Any]:
        """The groups of rules."""
        return list(self._ask("rules")["groups"])

    def _ask(self, what: str, **words: object) -> Any:
        body = urllib.parse.urlencode(words).encode()
        url = f"http://{ports.LOOPBACK}:{self.port}/api/v1/{what}"
        try:
            with urllib.request.urlopen(f"{url}?{body.decode()}", timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{words.get('query')}: {json.load(error)['error']}") from None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{ports.LOOPBACK}:{self.port}/-/ready", timeout=2):
                return True
        except OSError:
            return False


def _job(name: str, path: str, instances: Mapping[str, str]) -> dict[str, Any]:
    where, _, asked = path.partition("?")
    targets = [{"targets": [address], "labels": {"instance": instance}} for instance, address in instances.items()]
    return {
        "job_name": name,
        "metrics_path": where,
        "params": urllib.parse.parse_qs(asked),
        "static_configs": targets,
    }

"""The services of the compose file in containers of podman's, on servers of the test."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.deploy import compose
from tests.deploy.containers import Containers
from tests.deploy.podman import BASE, Podman, limits
from tests.processes import ROOT, Process


class Boxes(Containers):
    """Each of our services in the image, as the file has it: user, root, temporary folders, rights, secrets, words."""

    def __init__(self, podman: Podman, server: PostgresServer, node: RabbitNode, folder: pathlib.Path) -> None:
        self.podman = podman
        super().__init__(server, node, folder)
        self.shell.stand_in("docker", "tests.deploy.boxed", str(folder / "state"))
        self.shell.longest *= 10  # It builds an image.

    def start(self, name: str) -> Process:
        """Start a container."""
        folder = self.road.folder / name
        folder.mkdir(exist_ok=True)
        words = ["tests.deploy.boxed", str(self.folder / "state"), "up", name]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = self.running[name] = Process(name, words, environment, folder)
        self.road.processes.append(process)
        return process

    def healthy(self, name: str) -> bool:
        """What the service's own health check says, in its container."""
        words = self._native().health(name, self.places(name))
        asked = [*self.podman.words, "exec", name, *words]
        return subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0

    def options(self, name: str) -> list[str]:
        """A service as words for ``podman run``."""
        service: dict[str, Any] = self.document["services"][name]
        found = ["--network=host", *limits(), f"--user={service['user']}", f"--pids-limit={service['pids_limit']}"]
        found += ["--read-only", "--read-only-tmpfs=false"] if service["read_only"] else []
        found += [f"--tmpfs={place}" for place in service["tmpfs"]]
        found += [f"--cap-drop={right}" for right in service["cap_drop"]]
        found += [f"--security-opt={option.removesuffix(':true')}" for option in service["security_opt"]]
        given = {k: compose.replaced(str(v), self.places(name)) for k, v in service["environment"].items()}
        given |= {"MILLRACE_HTTP": self.address, "MILLRACE_METRICS_HOST": "127.0.0.1"}  # The network is shared.
        given |= {"MILLRACE_METRICS_PORT": str(self.metrics[name])} if name in self.metrics else {}
        found += [f"--env={k}={v}" for k, v in given.items()]
        found += [f"--volume={path}:{target}:ro" for target, path in self._native().files(service)]
        for volume in service.get("volumes", ()):
            source, target, mode = volume.split(":")
            found.append(f"--volume={os.path.normpath(compose.FOLDER / source)}:{target}:{mode}")
        return found

    def build(self) -> list[str]:
        """What ``compose build web`` does, on a base of ours."""
        asked = self.document["services"]["web"]["build"]
        assert set(asked["args"]) == {"PYTHON_IMAGE"}
        context = os.path.normpath(compose.FOLDER / asked["context"])
        words = [
            f"--file={context}/{asked['dockerfile']}",
            f"--build-arg=PYTHON_IMAGE={BASE}",
            "--tag=millrace",
            context,
        ]
        return [*self.podman.build(), f"--ignorefile={context}/{asked['dockerfile']}.dockerignore", *words]

    def _note(self) -> None:
        names = [*self.daemons, "migrate"]
        services = self.document["services"]
        state = {
            "podman": self.podman.words,
            "image": "localhost/millrace",
            "build": self.build(),
            "services": {name: {"options": self.options(name), "words": services[name]["command"]} for name in names},
        }
        (self.folder / "state").write_text(json.dumps(state))

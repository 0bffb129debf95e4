"""The services of the compose file as processes of this machine, on servers of the test, and their secrets."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

from service.broker import users
from service.local import ports
from service.local.cluster import USER
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.deploy import compose, engine, typed
from tests.patience import PATIENCE, wait
from tests.processes import ROOT, Process
from tests.road import Road

#: The users of RabbitMQ belong to a node, which tests share: so they have the same passwords in all of them.
PASSWORDS = "".join(f"{name}:of-{name}\n" for name in users.NAMES)


def copied(folder: pathlib.Path) -> pathlib.Path:
    """A folder in which what is below deploy/ may be run and written."""
    left = shutil.ignore_patterns("secrets", ".env")
    for name in ("compose", "postgresql", "systemd"):
        shutil.copytree(ROOT / "deploy" / name, folder / "deploy" / name, ignore=left)
    shutil.copy(ROOT / "deploy/secrets", folder / "deploy")
    return folder


class Containers:
    """Each service as a process with its own words and environment, and what an engine does with them."""

    def __init__(self, server: PostgresServer, node: RabbitNode, folder: pathlib.Path) -> None:
        self.server, self.node = server, node
        self.vhost = f"compose-{os.getpid()}"
        self.road = Road(server.dsn, node.add_vhost(self.vhost), folder)
        self.folder = copied(folder)
        self.secrets = folder / "deploy/compose/secrets"
        self.secrets.mkdir(mode=0o700)
        (self.secrets / "rabbitmq_passwords").write_text(PASSWORDS)
        (self.secrets / "postgres_password").write_text(server.cluster.password)
        self.address = f"127.0.0.1:{ports.free()}"
        self.document = compose.read()
        self.daemons = [name for name, s in compose.ours(self.document).items() if "healthcheck" in s]
        self.metrics = {name: ports.free() for name in self.daemons}
        self.running: dict[str, Process] = {}
        self.shell = typed.Shell(folder, {"127.0.0.1:5000": self.address})
        self.shell.stand_in("docker", "tests.deploy.engine", str(folder / "state"))

    def type_in(self, block: list[typed.Command]) -> None:
        """What the page says, with this in the place of an engine."""
        for command in block:
            if command.text.startswith("compose up"):
                self.up()
            else:
                self.shell.type_in(command)
            if command.text.startswith("deploy/compose/prepare"):
                self._lead_here()

    def up(self) -> None:
        """Those that end, in their order; then those that stay, until they are well."""
        written = self.folder / "deploy/compose/.env"
        lines = written.read_text().splitlines() if written.exists() else []
        self.document = compose.read(**dict(line.split("=", 1) for line in lines))
        self._note()
        for name in ("roles", "migrate", "definitions"):
            self.end(name)
        for name in self.daemons:
            if name in self.running:
                self.running[name].ask_to_stop()
        for name in self.daemons:
            if name in self.running:
                assert self.running.pop(name).wait_for_end(60) == 0, name
            self.start(name)
        for name in self.daemons:
            wait(lambda n=name: self.healthy(n), 60, f"{name} is healthy", step=0.3)

    def end(self, name: str) -> None:
        """A service that ends, as its servers' images do it, or ours."""
        service = self.document["services"][name]
        if name == "definitions":
            program, node, *words = service["command"]
            assert (program, node) == ("rabbitmqctl", "--node=rabbit@rabbitmq")
            self.node.ctl(*(self._native().placed(service, word, {}) for word in words))
        elif name == "roles":
            here = f"--host=127.0.0.1 --port={self.server.port}"
            places = {"--host=postgres": here, "--username=postgres": f"--username={USER}"}
            words = [self._native().placed(service, w, places) for w in (*service["entrypoint"], *service["command"])]
            path = f"{self.server.cluster.bin}:{os.environ['PATH']}"
            subprocess.run(words, env={"PATH": path}, check=True, capture_output=True, timeout=60 * PATIENCE)
        else:
            assert self.start(name).wait_for_end(60) == 0, self.running[name].text()
            del self.running[name]

    def start(self, name: str) -> Process:
        """Start a service."""
        program, *words = self.document["services"][name]["command"]
        folder = self.road.folder / name
        folder.mkdir(exist_ok=True)
        process = Process(name, [engine.MODULES[program], *words], self.environment(name), folder)
        folder.chmod(0o500)  # Nothing is written where it runs; root may, so its content is looked at as well.
        self.running[name] = process
        self.road.processes.append(process)
        return process

    def environment(self, name: str) -> dict[str, str]:
        """What a service finds in its environment."""
        found = self._native().environment(name, self.places(name))
        path = os.pathsep.join([found.pop("PYTHONPATH"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        if name in self.metrics:
            found["MILLRACE_METRICS_PORT"] = str(self.metrics[name])
        return found | {"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONPATH": path}

    def places(self, name: str) -> dict[str, str]:
        """What cannot be the same here: ports, which containers have to themselves, and the address of the door."""
        port = self.metrics.get(name, 0)
        door = {"0.0.0.0:5000": self.address, "127.0.0.1:5000": self.address, "web:5000": self.address}
        return door | {"0.0.0.0": "127.0.0.1"} | {
            f"127.0.0.1:{usual}": f"127.0.0.1:{port}" for usual in (9101, 9102, 9103)
        }  # fmt: skip

    def healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        program, *words = self._native().health(name, self.places(name))
        assert program == "python"
        return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=False).returncode == 0

    def _native(self) -> compose.Native:
        return compose.Native(self.document, self.folder / "deploy/compose")

    def _lead_here(self) -> None:
        """Put the addresses of the test's servers in the place of those that containers see."""
        broker = f"@127.0.0.1:{self.node.port}/{self.vhost}"
        for path in self.secrets.glob("*/*_url"):
            text = path.read_text()
            assert text.count("@") == 1
            path.chmod(0o644)
            path.write_text(
                text.replace("@postgres:5432/", f"@127.0.0.1:{self.server.port}/").replace("@broker:5672/", broker)
            )
            path.chmod(0o444)
        self._note()

    def _note(self) -> None:
        """Tell the engine's stand-in what the services find in their environment."""
        (self.folder / "state").write_text(json.dumps({name: self.environment(name) for name in self.daemons}))

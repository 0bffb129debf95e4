"""The folder of a private RabbitMQ node: its name, password, ports and data, and the environment it needs."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.local import ports, programs, spawn

USER = "millrace"
#: One scheduler that sleeps when there is nothing to do: light on a small machine. The epmd is started by us,
#: for one that Erlang starts by itself is a daemon that stays.
_MACHINE = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false"


class NodeFolder:
    """A folder with ``mnesia`` (the data), ``log``, ``home`` (the cookie), ``node.json`` and ``ports.json``.

    Making one prepares the folder: what is there is used again, what is missing is made. ``options`` are lines of
    ``rabbitmq.conf``. ``beside`` is the folder of a node that has been started, whose cluster this one shall join.
    With ``prometheus`` it serves metrics, on a port of its own.
    """

    def __init__(
        self,
        home: Path,
        *,
        options: Mapping[str, str] | None = None,
        beside: NodeFolder | None = None,
        prometheus: bool = False,
    ) -> None:
        self.home = spawn.private_folder(home.absolute())
        self.log = self.home / "log"
        self.start_log = self.log / "start.log"
        self.data = self.home / "mnesia"
        for folder in (self.log, self.data, self.home / "home"):
            folder.mkdir(exist_ok=True)
        self.scripts = programs.rabbitmq()
        self.options = dict(options or {})
        self.prometheus = prometheus
        self.name, self.password = self._identity(beside)
        if beside is not None:
            self._share(beside)
        self.pid_file = self.home / "pid"
        #: Those of last time; a node that runs has them.
        self.ports = ports.read(self.home / "ports.json")

    def choose_ports(self, keep: Sequence[str] = ()) -> None:
        """Take the ports of last time, and new ones for those that are taken; write the configuration for them."""
        # Whoever was told the address relies on it, and a node killed a moment ago may hold it a little longer.
        mine = [port for name, port in self.ports.items() if name not in keep]
        spawn.wait_until(lambda: all(ports.is_free(port) for port in mine), 5)
        self.ports = ports.remembered(self.home / "ports.json", self._names(), keep=keep)
        self._configure()

    def _names(self) -> list[str]:
        return ["amqp", "dist", "epmd", *(["prometheus"] if self.prometheus else [])]

    def running(self) -> int:
        """The process id of the node that runs on this data now, 0 when none does."""
        try:
            pid = int(self.pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        # The number may be another program's by now; ours was given this folder as its home.
        return pid if str(self.home / "home").encode() in words else 0

    def wipe(self) -> None:
        """Delete the data."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def environment(self) -> dict[str, str]:
        """All that the node's scripts read, so that nothing of the machine's own RabbitMQ is used."""
        home = self.home
        return {
            "HOME": str(home / "home"),
            "PATH": f"{programs.erlang()}:{spawn.PATH}",
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            # The script then becomes the Erlang machine instead of waiting for it: its process id is the node's.
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.ports["amqp"]),
            "RABBITMQ_NODE_IP_ADDRESS": ports.LOOPBACK,
            "RABBITMQ_DIST_PORT": str(self.ports["dist"]),
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_LOG_BASE": str(self.log),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(home / "no-more-configuration"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-environment-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _MACHINE,
            "RABBITMQ_CTL_ERL_ARGS": "-start_epmd false",
        }

    def _identity(self, beside: NodeFolder | None) -> tuple[str, str]:
        """The node's name and password, made once: the data on the disk belongs to this name."""
        path = self.home / "node.json"
        if not path.exists():
            name = f"millrace-{secrets.token_hex(4)}@localhost"
            password = beside.password if beside else secrets.token_urlsafe(24)
            spawn.write_secret(path, json.dumps({"name": name, "password": password}))
        identity = json.loads(path.read_text())
        return str(identity["name"]), str(identity["password"])

    def _share(self, beside: NodeFolder) -> None:
        """Nodes of a cluster know the same secret and find each other through the same epmd."""
        cookie = Path("home", ".erlang.cookie")
        if not (self.home / cookie).exists():
            spawn.write_secret(self.home / cookie, (beside.home / cookie).read_text())
        ports.write(self.home / "ports.json", ports.read(self.home / "ports.json") | {"epmd": beside.ports["epmd"]})

    def _configure(self) -> None:
        lines = [
            f"listeners.tcp.1 = {ports.LOOPBACK}:{self.ports['amqp']}",
            f"default_user = {USER}",
            f"default_pass = {self.password}",
            "log.console = false",
            "log.file = node.log",
            *(f"{name} = {value}" for name, value in self.options.items()),
        ]
        if self.prometheus:
            lines += [f"prometheus.tcp.ip = {ports.LOOPBACK}", f"prometheus.tcp.port = {self.ports['prometheus']}"]
        spawn.write_secret(self.home / "rabbitmq.conf", "\n".join(lines) + "\n")
        (self.home / "enabled_plugins").write_text("[rabbitmq_prometheus].\n" if self.prometheus else "[].\n")

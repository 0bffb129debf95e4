"""A private RabbitMQ node: its own name, ports, cookie and folders, and its own epmd."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import amqp

from service.local import ports, programs, spawn
from service.local.node import USER, NodeFolder

#: Seconds until a started node must answer; one with much on its disk needs a while.
START = 90.0
#: Seconds that an orderly stop may take before the node is killed.
GRACE = 20.0
#: Seconds for one command of rabbitmqctl.
COMMAND = 60.0


class RabbitNode:
    """One private RabbitMQ node in one folder.

    A second object on the same folder is the same node: name, password, data and, when they are free, ports.
    ``options`` are lines of ``rabbitmq.conf``. ``beside`` is a node that has been started: this one shares its epmd,
    cookie and password, so that it can ``join`` its cluster; it must stop before that one does. With ``prometheus`` it
    serves metrics on ``metrics_port``.
    """

    name = "rabbitmq"

    def __init__(
        self,
        home: Path,
        *,
        options: Mapping[str, str] | None = None,
        beside: RabbitNode | None = None,
        prometheus: bool = False,
    ) -> None:
        self.home = home.absolute()
        self.options = dict(options or {})
        self.beside = beside
        self.prometheus = prometheus
        self._folder: NodeFolder | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> NodeFolder:
        """Its folder, made on the first use."""
        if self._folder is None:
            beside = self.beside.folder if self.beside else None
            self._folder = NodeFolder(self.home, options=self.options, beside=beside, prometheus=self.prometheus)
        return self._folder

    @property
    def pid(self) -> int | None:
        """The process id of the Erlang machine while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def port(self) -> int:
        """The AMQP port; 0 before the first launch."""
        return self.folder.ports.get("amqp", 0)

    @property
    def metrics_port(self) -> int:
        """The port of its metrics; 0 when it serves none."""
        return self.folder.ports.get("prometheus", 0) if self.prometheus else 0

    @property
    def url(self) -> str:
        """The address of its virtual host ``/``."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """The address of a virtual host on this node."""
        path = "" if vhost == "/" else urllib.parse.quote(vhost, safe="")
        return f"amqp://{USER}:{self.folder.password}@{ports.LOOPBACK}:{self.port}/{path}"

    @property
    def version(self) -> str:
        """Its name and version, such as ``RabbitMQ 3.10.8``."""
        return f"RabbitMQ {self.folder.scripts.parent.name.rpartition('-')[2]}"

    def start(self) -> RabbitNode:
        """Start the node and wait until it takes connections."""
        self.launch()
        if not spawn.wait_until(lambda: self.exit_code() is not None or self.accepts(), START, step=0.1):
            raise spawn.LocalError(f"RabbitMQ did not answer within {START:.0f} s, see {self.folder.log}")
        code = self.exit_code()
        if code is not None:
            self.release()
            reason = spawn.last_line(self.folder.start_log, "rror", "eaddrinuse", "failed")
            raise spawn.LocalError(f"RabbitMQ did not start ({spawn.how_it_ended(code)}): {reason}")
        return self

    def launch(self) -> None:
        """Start the processes without waiting for the node; its ports stay what they were."""
        # Two nodes on the same data would spoil it. One whose supervisor was killed needs a moment to stop.
        if not spawn.wait_until(lambda: not self.folder.running(), GRACE):
            raise spawn.LocalError(f"RabbitMQ already runs on {self.home} (process {self.folder.running()})")
        has_epmd = self.beside is not None or (self._epmd is not None and self._epmd.poll() is None)
        self.folder.choose_ports(keep=("epmd",) if has_epmd else ())
        if not has_epmd:
            self._launch_epmd()
        with self.folder.start_log.open("wb") as log:
            self._process = self._spawn([str(self.folder.scripts / "rabbitmq-server")], log.fileno())
        self.folder.pid_file.write_text(str(self._process.pid))

    def join(self) -> None:
        """Become a member of the cluster of the node ``beside``; what is on this one is forgotten."""
        assert self.beside is not None
        for words in (["stop_app"], ["join_cluster", self.beside.folder.name], ["start_app"]):
            self.ctl(*words)

    def exit_code(self) -> int | None:
        """How the node ended, None while it runs."""
        return self._process.poll() if self._process else None

    def interrupt(self) -> None:
        """Ask for an orderly stop; a frozen node is thawed for it."""
        if self._process and self.pid:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """An orderly stop, waited for; its epmd ends with it."""
        self.interrupt()
        spawn.end(self._process, signal.SIGTERM, GRACE)
        self.release()

    def kill(self) -> None:
        """SIGKILL, as when the machine loses power; what was confirmed is on the disk."""
        spawn.kill(self._process)

    def release(self) -> None:
        """End the epmd that was started for the node."""
        spawn.end(self._epmd, signal.SIGTERM, 2)

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open and nobody answers."""
        os.kill(self._running(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen node go on."""
        os.kill(self._running(), signal.SIGCONT)

    def wipe(self) -> None:
        """Lose the disk. The node must be stopped; it starts empty, with the same name, user and password."""
        if self.pid:
            raise spawn.LocalError("the node still runs: stop or kill it first")
        self.folder.wipe()

    def alarm(self, on: bool) -> None:
        """Raise or clear the memory alarm; while it is on, the node reads nothing from publishers."""
        self.ctl("set_vm_memory_high_watermark", *(("absolute", "1") if on else ("0.4",)))

    def add_vhost(self, vhost: str) -> str:
        """Make a virtual host with all rights for our user, and give its address."""
        everything = '<<".*">>'
        self.ctl(
            "eval",
            f'ok = rabbit_vhost:add(<<"{vhost}">>, <<"{USER}">>), '
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{vhost}">>, '
            f'{everything}, {everything}, {everything}, <<"{USER}">>).',
        )
        return self.url_of(vhost)

    def delete_vhost(self, vhost: str) -> None:
        """Delete a virtual host with all that is in it."""
        self.ctl("delete_vhost", vhost)

    def ctl(self, *words: str, timeout: float = COMMAND) -> str:
        """Run rabbitmqctl on this node, and give what it prints."""
        try:
            done = subprocess.run(
                [str(self.folder.scripts / "rabbitmqctl"), "--quiet", *words],
                env=self.folder.environment(),
                cwd=self.home,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise spawn.LocalError(f"rabbitmqctl {words[0]} gave no answer within {timeout:.0f} s") from None
        if done.returncode:
            reason = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise spawn.LocalError(f"rabbitmqctl {words[0]} failed: {' '.join(reason[:3])}")
        return done.stdout

    def accepts(self) -> bool:
        """Whether a connection can be opened now."""
        connection = amqp.Connection(
            f"{ports.LOOPBACK}:{self.port}",
            userid=USER,
            password=self.folder.password,
            connect_timeout=2,
            read_timeout=2,
            write_timeout=2,
        )
        try:
            connection.connect()
            connection.close()
        except (OSError, amqp.AMQPError):
            connection.collect()
            return False
        return True

    def _running(self) -> int:
        if self.pid is None:
            raise spawn.LocalError("the node does not run")
        return self.pid

    def _launch_epmd(self) -> None:
        port = self.folder.ports["epmd"]
        program = str((programs.erlang() or Path()) / "epmd")
        self._epmd = self._spawn([program, "-port", str(port), "-address", ports.LOOPBACK], subprocess.DEVNULL)
        if not spawn.wait_until(lambda: not ports.is_free(port), 10):
            raise spawn.LocalError("epmd, the name server of Erlang, did not start")

    def _spawn(self, argv: list[str], output: int) -> subprocess.Popen[bytes]:
        return spawn.spawn(argv, environment=self.folder.environment(), output=output, cwd=self.home)

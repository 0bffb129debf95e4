"""`millrace up` and `millrace stack`: everything on this machine, started, watched over and stopped.

Both run the real commands, as ops type them, each in a process of its own. ``up`` needs nothing but this
Python: a private PostgreSQL and the demo broker. ``stack`` uses a private RabbitMQ instead. Servers that
the settings name are used as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service import plugins
from service.broker import topology
from service.domain import handlers
from service.local import announce, monitoring, ports, spawn
from service.local.commands import Command, Console
from service.local.postgres import PostgresServer
from service.local.processes import Supervisor
from service.local.rabbitmq import RabbitNode
from service.settings import Settings
from service.telemetry import exposition

#: What stops first has the highest number.
SERVERS, HANDS, DOOR = 0, 1, 2
#: Seconds between canaries where the settings name none, for `monitor`.
CANARY = "10"
#: Port of RabbitMQ's own plugin, where the node is not ours.
BROKER_METRICS = 15692
_MILLRACE = (sys.executable, "-m", "service")
_CELERY = (sys.executable, "-m", "celery", "--quiet")  # Without its banners, which tell less than our own lines.


def up(settings: Settings, folder: Path = Path("var/embedded")) -> None:
    """Run web, worker and clock on a private PostgreSQL and the demo broker, until a signal says stop."""
    _run(settings, folder.absolute(), demo=True)


def stack(settings: Settings, folder: Path = Path("var/stack")) -> None:
    """Run web, worker and clock on a private PostgreSQL and RabbitMQ, until a signal says stop."""
    _run(settings, folder.absolute(), demo=False)


def monitor(settings: Settings, folder: Path = Path("var/stack")) -> None:
    """The same, with Prometheus and Alertmanager beside it, and a canary."""
    _run(settings, folder.absolute(), demo=False, monitored=True)


@dataclass
class _Surroundings:
    """What the three processes are given: addresses by variable, and what there is to tell of them."""

    variables: dict[str, str]
    told: list[str]
    #: Where RabbitMQ serves its metrics, as host:port; empty when nobody knows.
    broker_metrics: str = ""


def _run(settings: Settings, folder: Path, *, demo: bool, monitored: bool = False) -> None:
    _check_http(settings)
    console = Console()
    with _alone_in(folder), contextlib.suppress(KeyboardInterrupt), Supervisor(console.say) as supervisor:
        around = _Surroundings({}, [])
        _ledger(settings, folder, supervisor, around)
        _broker(settings, folder, supervisor, around, demo=demo, monitored=monitored)
        for words in (("migrate",), ("topology", "apply")):
            _finish(Command(words[0], [*_MILLRACE, *words], console=console, variables=around.variables))
        metrics = _metrics_ports(settings)
        for command, stage in _commands(folder, console, around, metrics):
            supervisor.start(command, stage)
        if monitored:
            _monitor(settings, folder, console, supervisor, around, metrics)
        _announce(settings, supervisor, around, metrics)
        if supervisor.run():
            raise spawn.LocalError("not everything could be started")


def _check_http(settings: Settings) -> None:
    if not ports.is_free(settings.port, settings.host):
        raise spawn.LocalError(
            f"{settings.http} cannot be listened on: another program does, or the address is not of this machine "
            "(MILLRACE_HTTP=127.0.0.1:5001 takes another port)"
        )


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; two at once would work on the same data."""
    spawn.private_folder(folder)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise spawn.LocalError(f"another Millrace already runs on {folder}") from None
        yield


def _ledger(settings: Settings, folder: Path, supervisor: Supervisor, around: _Surroundings) -> None:
    if settings.database_url:
        around.told.append(f"ledger    {_without_secret(settings.database_url)}")
        return
    server = PostgresServer(folder / "postgres")
    supervisor.say(f"starting {server.version}")
    supervisor.watch(server, SERVERS)
    server.start()
    around.variables["MILLRACE_DATABASE_URL_FILE"] = _kept(folder / "database_url", server.dsn)
    around.told.append(f"ledger    {server.version} on {ports.LOOPBACK}:{server.port}, data in {server.home}")


def _broker(
    settings: Settings,
    folder: Path,
    supervisor: Supervisor,
    around: _Surroundings,
    *,
    demo: bool,
    monitored: bool = False,
) -> None:
    if monitored and not settings.canary:
        around.variables["MILLRACE_CANARY"] = CANARY
    if settings.broker_url:
        around.broker_metrics = f"{urlsplit(settings.broker_url).hostname}:{BROKER_METRICS}"
        around.told.append(f"broker    {_without_secret(settings.broker_url)}")
    elif demo:
        files = spawn.private_folder(folder / "broker")
        around.variables["MILLRACE_BROKER_URL"] = f"filesystem://{files}"
        around.told.append(f"broker    demo broker: files in {files}; for trying, not for production")
    else:
        node = RabbitNode(folder / "rabbitmq", prometheus=monitored)
        supervisor.say(f"starting {node.version}")
        supervisor.watch(node, SERVERS)
        node.start()
        for words in topology.policies():
            node.ctl("-p", "/", *words)
        around.variables["MILLRACE_BROKER_URL_FILE"] = _kept(folder / "broker_url", node.url)
        around.broker_metrics = f"{ports.LOOPBACK}:{node.metrics_port}"
        around.told.append(f"broker    {node.version} on {ports.LOOPBACK}:{node.port}, data in {node.home}")


def _kept(path: Path, url: str) -> str:
    """Keep an address with its password in a file, from which the processes read it."""
    spawn.write_secret(path, url)
    return str(path)


def _finish(command: Command) -> None:
    """Run a command to its end; raises LocalError when it fails."""
    command.launch()
    try:
        while command.exit_code() is None:
            time.sleep(0.05)
    finally:
        command.kill()
        command.release()
    code = command.exit_code()
    if code:
        raise spawn.LocalError(f"`{' '.join(command.argv[2:])}` failed ({spawn.how_it_ended(code)})")


def _metrics_ports(settings: Settings) -> dict[str, int]:
    """A free port for each role's /metrics; two copies of Millrace on one machine share the ten of each.

    The port that the settings name is the door's; those of worker and clock are the next two.
    """
    firsts = exposition.PORTS
    more = settings.metrics_port - firsts["web"] if settings.metrics_port else 0
    return {
        role: ports.first_free(first + more, step=exposition.STEP, host=settings.metrics_host)
        for role, first in firsts.items()
    }


def _commands(
    folder: Path, console: Console, around: _Surroundings, metrics: dict[str, int]
) -> Iterator[tuple[Command, int]]:
    # Celery wants different names for different workers of a broker, and the same one again after a restart.
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    queues = dict.fromkeys(["events", "periodic", *sorted(plugins.registry.queues())])
    worker = ["-A", "workers", "worker", "-Q", ",".join(queues), "-n", f"millrace-{name}@%h"]
    for role, argv, stage in (
        ("worker", [*_CELERY, *worker], HANDS),
        ("clock", [*_CELERY, "-A", "schedules", "beat"], HANDS),
        ("web", [*_MILLRACE, "web"], DOOR),
    ):
        variables = around.variables | {"MILLRACE_METRICS_PORT": str(metrics[role])}
        yield Command(role, argv, console=console, variables=variables), stage


def _monitor(
    settings: Settings,
    folder: Path,
    console: Console,
    supervisor: Supervisor,
    around: _Surroundings,
    metrics: dict[str, int],
) -> None:
    """Prometheus, Alertmanager, and somebody who tells here what they would tell a person."""

    def tell(receiver: str, alert: dict[str, Any]) -> None:
        if words := monitoring.in_words(receiver, alert):
            console.say(words, "ALERT")

    targets = {role: [f"{settings.metrics_host}:{port}"] for role, port in metrics.items()}
    receiver = monitoring.Receiver(tell)
    found = monitoring.Monitor(
        folder / "monitor", targets=targets | {"rabbitmq": [around.broker_metrics]}, receiver=receiver.url
    )
    for command in found.commands(console):
        supervisor.start(command, HANDS)
    around.told.append(f"watch     Prometheus {found.prometheus}, what fires on its page Alerts")
    around.told.append(f"          Alertmanager {found.alertmanager}; whom it would call is told here as ALERT")
    around.told.append(f"          RabbitMQ's metrics http://{around.broker_metrics}/metrics")


def _announce(settings: Settings, supervisor: Supervisor, around: _Surroundings, metrics: dict[str, int]) -> None:
    host = {"0.0.0.0": ports.LOOPBACK, "::": "::1"}.get(settings.host, settings.host)
    example = handlers.example(plugins.registry)
    announcement = announce.Announcement(host, settings.port, metrics, around.told, example)
    announce.when_ready(announcement, supervisor.ready, supervisor.say)


def _without_secret(url: str) -> str:
    """An address for people."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)

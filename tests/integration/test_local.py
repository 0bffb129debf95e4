"""Private servers and the supervisor, for real: they start, are killed, come back, and leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import psycopg2
import pytest
import sqlalchemy

from service.local import ports, spawn, unprivileged
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make_postgres(tmp_path: Path) -> Iterator[Callable[..., PostgresServer]]:
    """Makes servers that are stopped after the test."""
    servers.need_postgres()
    with contextlib.ExitStack() as stack:

        def make(name: str = "postgres", **options: object) -> PostgresServer:
            server = PostgresServer(tmp_path / name, **options)  # type: ignore[arg-type]
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., RabbitNode]]:
    """Makes nodes that are stopped after the test."""
    servers.need_rabbitmq()
    with contextlib.ExitStack() as stack:

        def make(name: str = "rabbitmq") -> RabbitNode:
            node = RabbitNode(tmp_path / name)
            stack.callback(node.stop)
            return node

        yield make


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


def test_both_addresses_of_a_new_cluster_work(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    server = make_postgres().start()
    with sqlalchemy.create_engine(server.url).connect() as connection:
        assert connection.scalar(sqlalchemy.text("select current_database()")) == "millrace"
    psycopg2.connect(server.dsn).close()
    assert server.execute("show fsync") == [("on",)]


def test_the_password_is_kept_for_the_owner_and_asked_for(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres().start()
    password = server.home / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.dsn.replace(password.read_text().strip(), "guessed"))


def test_a_second_start_finds_the_data_and_the_address_again(make_postgres: Callable[..., PostgresServer]) -> None:
    first = make_postgres().start()
    first.execute("create table kept as select 42 as answer", "millrace")
    first.stop()
    assert first.exit_code() == 0
    second = make_postgres().start()
    assert second.url == first.url
    assert second.execute("select answer from kept", "millrace") == [(42,)]


def test_a_killed_server_starts_again_on_its_data(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres().start()
    url = server.url
    server.execute("create table kept as select 42 as answer", "millrace")
    session = psycopg2.connect(server.dsn)
    server.kill()
    server.start()
    assert server.url == url
    assert server.execute("select answer from kept", "millrace") == [(42,)]
    session.close()


def test_a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    server = make_postgres().start()
    server.kill()
    pid_file = server.cluster.data / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert server.start().pid


def test_a_second_server_on_data_in_use_is_refused_in_one_line(
    make_postgres: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.local.postgres.LETTING_GO", 0.2)
    server = make_postgres().start()
    with pytest.raises(spawn.LocalError, match=rf"already runs on .* \(process {server.pid}\)"):
        make_postgres().start()


def test_a_wrong_setting_is_told_with_the_reason_of_the_server(make_postgres: Callable[..., PostgresServer]) -> None:
    with pytest.raises(spawn.LocalError, match="shared_buffers"):
        make_postgres(options={"shared_buffers": "much"}).start()


def test_a_taken_port_is_told_when_it_was_asked_for_and_avoided_when_not(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(spawn.LocalError, match=f"port {port} is taken"):
            make_postgres(port=port).start()
        (make_postgres().home / "port.json").write_text(json.dumps({"postgres": port}))
        assert make_postgres().start().port != port


def test_tls_is_on_when_it_is_asked_for(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres(tls=True).start()
    assert server.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [(True,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to take another user's place")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_root_without_a_user_namespace_runs_it_as_another_user(
    make_postgres: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    ways = [way for way in unprivileged._ways() if way.owner != (0, 0)]
    monkeypatch.setattr(unprivileged, "_ways", lambda: iter(ways))
    (tmp_path / "deep").mkdir(mode=mode)
    server = make_postgres("deep/postgres").start()
    assert server.pid is not None
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    server.restart()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to take another user's place")
def test_root_without_any_way_is_told_the_cure(
    make_postgres: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "_ways", lambda: iter(()))
    with pytest.raises(spawn.LocalError, match="run this as an ordinary user"):
        make_postgres().start()


def test_a_wish_for_another_version_than_that_of_the_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("8\n")
    with pytest.raises(spawn.LocalError, match="PostgreSQL 8, which made this data, was not found"):
        PostgresServer(tmp_path).start()


# --- RabbitMQ -------------------------------------------------------------------------------------------------------


def publish(node: RabbitNode, body: str) -> None:
    """One persistent message to a quorum queue, confirmed."""
    with connected(node) as channel:
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        message = amqp.Message(body, delivery_mode=2)
        channel.basic_publish(message, routing_key="kept", timeout=3, confirm_timeout=3)


def waiting(node: RabbitNode) -> list[str]:
    """The messages of the queue, taken out."""
    with connected(node) as channel:
        bodies = []
        while (message := channel.basic_get("kept", no_ack=True)) is not None:
            bodies.append(message.body)
        return bodies


@contextlib.contextmanager
def connected(node: RabbitNode) -> Iterator[amqp.Channel]:
    """A channel of its own, dropped without a goodbye. After a start a queue needs a while to find itself."""
    password = node.folder.password
    connection = amqp.Connection(
        f"{ports.LOOPBACK}:{node.port}", userid="millrace", password=password,
        confirm_publish=True, connect_timeout=5, read_timeout=60, write_timeout=5,
    )  # fmt: skip
    connection.connect()
    try:
        yield connection.channel()
    finally:
        connection.collect()


@pytest.mark.heavy
def test_two_nodes_side_by_side_know_nothing_of_each_other(make_node: Callable[..., RabbitNode]) -> None:
    first, second = make_node("first"), make_node("second")
    first.launch()
    second.start()
    assert spawn.wait_until(first.accepts, 60)
    assert first.folder.name != second.folder.name
    assert not set(first.folder.ports.values()) & set(second.folder.ports.values())
    first.add_vhost("only-here")
    assert "only-here" in first.ctl("list_vhosts")
    assert "only-here" not in second.ctl("list_vhosts")
    first.stop()
    assert second.accepts()


@pytest.mark.heavy
def test_a_node_keeps_what_was_confirmed_through_a_kill_and_loses_it_with_its_disk(
    make_node: Callable[..., RabbitNode],
) -> None:
    node = make_node().start()
    url, name = node.url, node.folder.name
    publish(node, "confirmed")
    # RabbitMQ 3.10 notes a new quorum queue on the disk only after a while; killed before, it never finds it again.
    time.sleep(3)
    node.kill()
    assert not node.accepts()
    node.start()
    assert (node.url, node.folder.name) == (url, name)
    assert waiting(node) == ["confirmed"]
    node.stop()
    node.wipe()
    node.start()
    assert node.url == url
    with pytest.raises(amqp.NotFound):
        waiting(node)


def test_a_node_can_be_frozen_and_starved(make_node: Callable[..., RabbitNode]) -> None:
    node = make_node().start()
    publish(node, "before")
    node.freeze()
    assert not node.accepts()
    node.thaw()
    node.alarm(True)
    with pytest.raises(TimeoutError):
        publish(node, "during the alarm")
    node.alarm(False)
    publish(node, "after")
    node.freeze()
    node.stop()
    assert node.pid is None


@pytest.mark.heavy
def test_a_second_node_on_data_in_use_is_refused(
    make_node: Callable[..., RabbitNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node().start()
    epmd = node._epmd
    assert epmd is not None
    monkeypatch.setattr("service.local.rabbitmq.GRACE", 0.2)
    with pytest.raises(spawn.LocalError, match=rf"already runs on .* \(process {node.pid}\)"):
        make_node().start()
    monkeypatch.undo()
    with pytest.raises(spawn.LocalError, match="still runs"):
        node.wipe()
    with pytest.raises(spawn.LocalError, match="rabbitmqctl no_such_command failed"):
        node.ctl("no_such_command")
    node.stop()
    assert epmd.poll() is not None, "its epmd ends with it"
    with pytest.raises(spawn.LocalError, match="does not run"):
        node.freeze()


# --- The supervisor -------------------------------------------------------------------------------------------------

SUPERVISOR = """
import pathlib, sys
from service.local.commands import Command, Console
from service.local.processes import Supervisor

folder, child, *names = sys.argv[1:]
console = Console()
with Supervisor(console.say, grace=1) as supervisor:
    for stage, name in enumerate(names):
        argv = [sys.executable, "-c", child, name]
        supervisor.start(Command(name, argv, console=console, cwd=pathlib.Path(folder)), stage)
    sys.exit(supervisor.run())
"""

CHILD = """
import os, pathlib, signal, sys, time

name = sys.argv[1]

def stop(*_):
    with open("order", "a") as file:
        file.write(name + " ")
    sys.exit()

signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "stubborn" else stop)
signal.signal(signal.SIGINT, stop)
pathlib.Path(name).write_text(str(os.getpid()))
while True:
    time.sleep(60)
"""


class Family:
    """A supervisor with children, as a process of its own."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.names = names
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder), CHILD, *names],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        assert spawn.wait_until(lambda: all(self.pid(name) for name in names), 20)

    def pid(self, name: str) -> int:
        """The process id of a child, 0 before it is there."""
        path = self.folder / name
        return int(path.read_text() or 0) if path.exists() else 0

    def end(self, signal_number: signal.Signals, *, group: bool = False) -> tuple[int, str]:
        """Send a signal, to the whole group as Ctrl-C does if asked; the exit code and all that was said."""
        send = os.killpg if group else os.kill
        send(self.process.pid, signal_number)
        said, _ = self.process.communicate(timeout=20)
        return self.process.returncode, said

    def survivors(self) -> list[str]:
        """The children that still run."""
        return [name for name in self.names if Path(f"/proc/{self.pid(name)}").exists()]


@pytest.fixture
def make_family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    """Makes supervisors that do not outlive the test."""
    made: list[Family] = []

    def make(*names: str) -> Family:
        made.append(Family(tmp_path, *names))
        return made[-1]

    yield make
    for family in made:
        family.process.kill()
        family.process.wait()


def test_a_child_that_dies_is_started_again_with_a_line_that_says_so(make_family: Callable[..., Family]) -> None:
    family = make_family("server", "worker")
    server, worker = family.pid("server"), family.pid("worker")
    os.kill(worker, signal.SIGKILL)
    assert spawn.wait_until(lambda: family.pid("worker") not in (0, worker), 10)
    code, said = family.end(signal.SIGTERM)
    assert code == 0
    assert "worker died (SIGKILL); started again" in said
    assert "server died" not in said
    assert (family.pid("server"), family.survivors()) == (server, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_children_in_order(make_family: Callable[..., Family], number: signal.Signals) -> None:
    family = make_family("server", "worker", "web")
    code, said = family.end(number, group=True)
    assert code == 0
    assert (family.folder / "order").read_text().split() == ["web", "worker", "server"]
    assert "died" not in said, "a stop is no death"
    assert family.survivors() == []


def test_a_child_that_does_not_stop_is_killed_after_the_grace(make_family: Callable[..., Family]) -> None:
    family = make_family("server", "stubborn")
    code, said = family.end(signal.SIGTERM)
    assert code == 0
    assert "stubborn did not stop in time and was killed" in said
    assert family.survivors() == []


def test_the_children_of_a_killed_supervisor_end_too(make_family: Callable[..., Family]) -> None:
    family = make_family("server", "worker")
    family.process.kill()
    assert spawn.wait_until(lambda: not family.survivors(), 10)


def test_a_child_that_never_gets_going_ends_it_all(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from service.local.commands import Command, Console
        from service.local.processes import Supervisor
        console = Console()
        with Supervisor(console.say) as supervisor:
            supervisor.start(Command("web", ["/bin/sh", "-c", "echo no luck; exit 3"], console=console), 0)
            sys.exit(supervisor.run())
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT, timeout=20
    )
    assert done.returncode == 1
    assert "web      | no luck" in done.stdout
    assert "web died (exit 3); started again" in done.stdout
    assert "web died (exit 3) 3 times and was never ready: giving up" in done.stdout

"""RabbitMQ's users and TLS on a live node: what each may do, and the road worked under them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest

from service import settings
from service.broker import connection as connections
from service.broker import topology as broker_topology
from service.broker import users
from service.domain import errors, topology
from service.local import ports
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.certificates import Authority
from tests.patience import wait
from tests.processes import ROOT
from tests.road import Road

#: User → whose certificate it shows; who only looks has one as well.
KINDS = {
    users.WEB: "web",
    users.WORKER: "worker",
    users.CLOCK: "clock",
    users.ADMIN: "migrate",
    users.MONITORING: "clock",
}
NAMED = frozenset({"events", "reports"})


@dataclasses.dataclass
class Node:
    """A node that takes TLS from those whom the authority knows, and what deploy/ makes for who comes to it."""

    server: RabbitNode
    secrets: pathlib.Path

    def url(self, user: str, *, query: str | None = None) -> str:
        """The address for a user, as a process of its kind reads it; with another query: other files of TLS."""
        folder = self.secrets / KINDS[user]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MILLRACE_BROKER_URL_FILE", str(folder / "broker_url"))
            found = settings.load().broker_url
        if user == users.MONITORING:  # No process of ours has its address.
            passwords = users.read_passwords((self.secrets / "rabbitmq_passwords").read_text())
            found = f"amqps://{user}:{passwords[user]}@{found.rpartition('@')[2]}"
        return found if query is None else found.partition("?")[0] + f"?{query}"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with the users and certificates that deploy/ makes, and with what matters of our rabbitmq.conf."""
    servers.need_rabbitmq()
    folder, port = tmp_path_factory.mktemp("tls"), ports.free()
    files = "cacertfile=ca.crt&certfile=client.crt&keyfile=client.key"
    _deploy("secrets", folder / "secrets", "postgresql://db/d", f"amqps://localhost:{port}/millrace?{files}")
    _deploy("certificates", folder / "authority", folder / "secrets", "localhost")
    options = _deployed() | {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(folder / "authority/ca.crt"),
        "ssl_options.certfile": str(folder / "authority/localhost.crt"),
        "ssl_options.keyfile": str(folder / "authority/localhost.key"),
    }
    server = RabbitNode(tmp_path_factory.mktemp("rabbitmq"), options=options).start()
    definitions, passwords = folder / "definitions.json", (folder / "secrets/rabbitmq_passwords").read_text()
    definitions.write_text(broker_topology.definitions(NAMED, "millrace", users.read_passwords(passwords)))
    server.ctl("import_definitions", str(definitions))
    yield Node(server, folder / "secrets")
    server.stop()


def _deploy(program: str, *words: str | pathlib.Path) -> None:
    subprocess.run([ROOT / "deploy" / program, *words], check=True, capture_output=True)


def _deployed() -> dict[str, str]:
    """Our rabbitmq.conf, without what a node of a test has its own of."""
    text = (ROOT / "deploy/rabbitmq/rabbitmq.conf").read_text()
    lines = [line.split(" = ") for line in text.splitlines() if line and not line.startswith("#")]
    own = ("listeners.tcp", "load_definitions", "prometheus.tcp.port")
    return {name: value for name, value in lines if name not in own}


def _publish(channel: Any, exchange: str, key: str) -> None:
    channel.confirm_select()
    channel.basic_publish_confirm(amqp.Message("x"), exchange, key)


ACTS: dict[str, Callable[[Any], Any]] = {
    "publish an event": lambda c: _publish(c, topology.EVENTS, "event.a"),
    "publish a tick": lambda c: _publish(c, topology.PERIODIC, "tick.a"),
    "publish a dead letter": lambda c: _publish(c, topology.DEAD, "a"),
    "publish past the exchanges": lambda c: _publish(c, "", "events"),
    "take events": lambda c: c.basic_get("events"),
    "take ticks": lambda c: c.basic_get("periodic"),
    "take reports": lambda c: c.basic_get("reports"),
    "take dead letters": lambda c: c.basic_get("dead"),
    "look how many are ready": lambda c: c.queue_declare("events", passive=True),
    "purge a queue": lambda c: c.queue_purge("reports"),
    "delete a queue": lambda c: c.queue_delete("spare", if_unused=True),
    "declare a queue of its own": lambda c: c.queue_declare("own", durable=True, auto_delete=False),
    "declare the topology": lambda c: broker_topology.declare(c.connection, NAMED),
    "bind another queue": lambda c: c.queue_bind("reports", topology.PERIODIC, "#"),
    "command workers": lambda c: c.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False),
}
MAY = {
    users.WEB: {"publish an event"},
    users.WORKER: {"take events", "take ticks", "take reports", "purge a queue", "command workers"},
    users.CLOCK: {"publish an event", "publish a tick", "take dead letters"},
    users.ADMIN: set(ACTS) - {"command workers", "declare a queue of its own", "delete a queue"},
    users.MONITORING: set(),
}


@pytest.mark.parametrize("user", users.NAMES)
def test_a_user_may_do_what_the_table_says_and_nothing_else(node: Node, user: str) -> None:
    found = set()
    for name, act in ACTS.items():
        connection = connections.connect(node.url(user), heartbeat=10, name="test")
        try:
            act(connection.channel())
            found.add(name)
        except amqp.exceptions.AccessRefused:
            pass
        except amqp.exceptions.NotFound:
            found.add(name)
        finally:
            connection.collect()
    assert found - {"look how many are ready"} == MAY[user] - {"look how many are ready"}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", "the authority is not known"),
        ("cacertfile={ca}", "no certificate of ours"),
        ("cacertfile={ca}&certfile={other}/stranger.crt&keyfile={other}/stranger.key", "one that nobody knows"),
    ],
)
def test_tls_is_refused_on_either_side_to_whom_the_authority_does_not_know(
    node: Node, query: str, wrong: str, tmp_path: pathlib.Path
) -> None:
    Authority(tmp_path).sign("stranger")
    url = node.url(users.WEB, query=query.format(ca=node.secrets / "web/ca.crt", other=tmp_path))
    with pytest.raises(errors.BrokerUnavailable):
        connections.connect(url, heartbeat=2, name="test")


def test_the_name_in_the_certificate_is_checked() -> None:
    found = connections.tls("amqps://a:b@broker.internal/v?cacertfile=/ca&certfile=/c&keyfile=/k")
    assert found == {
        "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "broker.internal", "ca_certs": "/ca", "certfile": "/c",
        "keyfile": "/k",
    }  # fmt: skip


@pytest.mark.heavy
def test_the_road_is_worked_over_tls_by_users_of_their_own(node: Node, database: str, tmp_path: pathlib.Path) -> None:
    road = Road(database, node.url(users.ADMIN), tmp_path).prepare()
    try:
        door = road.web(broker_url=node.url(users.WEB))
        road.worker(broker_url=node.url(users.WORKER))
        road.clock(broker_url=node.url(users.CLOCK))
        ids = [door.post("ledger.step").id for _ in range(5)] + [door.post("ledger.step", do="fail", times=1).id]
        road.assert_worked_once(ids)
        road.send(b"not ours", topology.EVENTS, {})
        wait(
            lambda: road.one("select count(*) from millrace.strays") == 1,
            20,
            "the clock files what the worker has refused",
        )
        assert "ACCESS_REFUSED" not in road.logs()
    finally:
        road.stop()


def test_passwords_are_wanted_for_every_user_and_kept_as_hashes() -> None:
    text = "".join(f"{name}:secret-{name}\n" for name in users.NAMES)
    document = json.loads(broker_topology.definitions(NAMED, "v", users.read_passwords(text)))
    assert [u["name"] for u in document["users"]] == list(users.NAMES)
    assert "secret-" not in json.dumps(document)
    # The example of RabbitMQ's own documentation, "Computing Password Hash".
    assert users.hashed("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    with pytest.raises(errors.SettingsError, match="millrace-web"):
        users.read_passwords(text.replace("millrace-web:", "somebody:"))

"""A private RabbitMQ node, for real: killed, frozen, starved, and beside another one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import pytest

from service.local import ports, spawn
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.patience import PATIENCE


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


def publish(node: RabbitNode, body: str, timeout: float = 20 * PATIENCE) -> None:
    """One persistent message to a quorum queue, confirmed."""
    with connected(node) as channel:
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        message = amqp.Message(body, delivery_mode=2)
        channel.basic_publish(message, routing_key="kept", timeout=timeout, confirm_timeout=timeout)


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
        confirm_publish=True, connect_timeout=20 * PATIENCE, read_timeout=60, write_timeout=20 * PATIENCE,
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
        publish(node, "during the alarm", timeout=3)
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

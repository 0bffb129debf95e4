"""What lies in the queue ``dead`` stays there until it was dealt with, however often that fails."""

from __future__ import annotations

import amqp
import pytest

from service.application import returned
from service.broker import connection as connections
from service.broker import topology as broker_topology
from service.domain import errors, topology
from service.ledger import engine as engines
from service.ledger.upkeep import Upkeep
from service.local import ports
from service.local.rabbitmq import RabbitNode
from tests.ledgers import Ledger

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

READINGS = 25  #: more than the 20 after which RabbitMQ 4 gives a message up by itself


@pytest.fixture
def dead(vhost: str) -> broker_topology.DeadQueue:
    """The queue, with a letter in it."""
    connection = connections.connect(vhost, heartbeat=10, name="test")
    broker_topology.declare(connection, frozenset())
    channel = connection.channel()
    channel.confirm_select()
    channel.basic_publish_confirm(amqp.Message("a letter", delivery_mode=2), topology.DEAD, "event.a")
    connection.collect()
    return broker_topology.DeadQueue(vhost, frozenset(), heartbeat=10)


def test_while_the_ledger_is_away_no_letter_is_taken(dead: broker_topology.DeadQueue, ledger: Ledger) -> None:
    away = Upkeep(engines.Engine(f"postgresql://127.0.0.1:{ports.free()}/none"))
    for _ in range(3):
        with pytest.raises(errors.LedgerUnavailable):
            returned.empty(dead, away)
    letter = dead.get()
    assert letter is not None
    assert letter.delivery_info["redelivered"] is False, "it was delivered before"
    dead.drop()
    assert returned.empty(dead, Upkeep(ledger.engine)) == 1
    assert ledger.sql("select convert_from(body, 'utf8') from millrace.strays") == [("a letter",)]


def test_a_letter_that_is_read_in_vain_again_and_again_is_not_given_up(
    dead: broker_topology.DeadQueue, vhost: str, rabbitmq: RabbitNode
) -> None:
    name = connections.vhost(vhost)
    for words in broker_topology.policies():
        rabbitmq.ctl("-p", name, *words)
    for _ in range(READINGS):
        assert dead.get() is not None, "it is gone"
        dead.drop()
    assert dead.get() is not None, "it is gone"
    dead.drop()
    rows = rabbitmq.ctl("-p", name, "list_queues", "--silent", "name", "policy").splitlines()
    assert dict(row.split("\t") for row in rows) | {"name": ""} == {
        "name": "", "events": "millrace", "periodic": "millrace", "dead": "millrace-dead",
    }  # fmt: skip

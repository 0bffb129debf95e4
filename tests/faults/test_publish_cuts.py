"""Whichever byte a publisher's connection is cut after: what was confirmed is there, all else goes again (P1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.broker import connection
from service.broker import publisher as publishers
from service.domain import errors
from service.domain.ticket import Ticket
from service.local.rabbitmq import RabbitNode
from tests.faults.proxy import DOWN, UP, Cut, Proxy
from tests.patience import PATIENCE, wait
from tests.road import Road

SOME, ALL = 97, 1  #: bytes from one cut to the next


@pytest.mark.fault(9)
class TestCuts:
    """From the first byte of the handshake to the last of the confirm, in both directions.

    No clock is there that could bring a ticket back: one that was confirmed and is not in the queue would be missed.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        return make_standing()

    @pytest.fixture
    def line(self, make_line: Callable[[int], Proxy], broker_node: RabbitNode) -> Proxy:
        return make_line(broker_node.port)

    @pytest.fixture
    def publish(self, road: Road, line: Proxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[Ticket], bool]:
        """Publishes a ticket on a connection of its own, and says whether it was confirmed."""
        monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 20.0 * PATIENCE)

        def publish(ticket: Ticket) -> bool:
            broker = publishers.Publisher(line.instead_of(road.broker), frozenset(), heartbeat=10, name="test")
            try:
                return broker.publish([ticket], 20 * PATIENCE) == {ticket.id}
            except errors.BrokerUnavailable:
                return False
            finally:
                broker.drop()

        return publish

    @pytest.mark.parametrize("step", [SOME, pytest.param(ALL, marks=pytest.mark.heavy)], ids=["some", "all"])
    @pytest.mark.parametrize("direction", [UP, DOWN])
    def test_what_was_confirmed_is_worked_and_what_was_not_is_sent_again(
        self,
        road: Road,
        line: Proxy,
        publish: Callable[[Ticket], bool],
        direction: str,
        step: int,
        record_property: Any,
    ) -> None:
        (whole,) = road.store("ledger.alone", ["{}"], bundle=1)
        assert publish(whole)
        wait(lambda: not line.links, 5, "the connection is closed")
        offsets = range(0, line.newest.carried[direction], step)
        assert len(offsets) > 500 / step, f"{len(offsets)} places to cut"

        tickets = road.store("ledger.alone", ["{}"] * len(offsets), bundle=1)
        for ticket, after in zip(tickets, offsets, strict=True):
            line.cut(Cut(direction, after))
            assert not publish(ticket), f"confirmed on a connection that was cut {direction} after {after} bytes"
            assert publish(ticket)
        assert line.cuts == len(offsets)
        road.worker()
        ids = [i for ticket in (whole, *tickets) for i in ticket.event_ids]
        road.wait_until_closed(ids, 120)
        effects = road.effects(ids)
        record_property("lost", len(set(ids) - effects.keys()))
        record_property("doubled", sum(number - 1 for number in effects.values()))
        road.assert_worked_once(ids)

"""A ticket's message is written as the broker's library writes it, but faster."""

from __future__ import annotations

import amqp
import pytest

from service.broker import message
from service.broker.publisher import BLANK, Letter
from service.domain.ticket import Ticket

EACH = "0197a3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"


@pytest.mark.parametrize("type_name", ["a.b", "a.rather.long_name." + "x" * 200])
@pytest.mark.parametrize("events", [1, 2, 100, 100_000])
@pytest.mark.parametrize("ticket_id", [EACH, EACH.upper(), "0", BLANK, "x" * 37])
def test_it_is_what_the_library_would_write(type_name: str, events: int, ticket_id: str) -> None:
    ticket = Ticket(ticket_id, type_name, ("x",) * events, "millrace.events", "event.a.b", "events")
    plain = amqp.Message("", application_headers=message.headers(ticket), **message.properties(ticket))
    for _ in range(2):  # The second one is not written anew.
        assert Letter(ticket)._serialize_properties() == plain._serialize_properties()
    assert Letter(ticket).properties == plain.properties

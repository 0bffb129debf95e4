"""The work that every contestant does: one committed row with a value computed from the order.

Standard library only, because peers import it from their own virtual environment.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Orders are spread over so many customers; load.c knows the same number.
CUSTOMERS = 5000
#: Millrace's part knows the order under so many types besides the one that it mostly has.
TYPES = 20

#: The table that every contestant writes to. It is made anew for each round.
CREATE_TABLE = """
create table done (
    id    uuid primary key,
    value bigint not null
)
"""


def orders_of(body: dict[str, Any] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The orders in the body of a request, which holds one or a list."""
    return body if isinstance(body, list) else [body]


def compute(customer: str, amount: int) -> int:
    """The value of an order: cheap, and different for nearly every order."""
    return zlib.crc32(customer.encode()) ^ amount


def compute_order(order: Mapping[str, Any]) -> int:
    """The value of an order as it was posted."""
    return compute(order["customer"], order["amount"])


def expected_value(number: int) -> int:
    """The value of order number ``number``, known without having seen the order."""
    return compute(f"customer-{number % CUSTOMERS}", number)


def order_number(order_id: uuid.UUID) -> int:
    """The number of an order: the last twelve hex digits of its id."""
    return order_id.int & 0xFFFF_FFFF_FFFF


def order_prefix(order_id: uuid.UUID) -> str:
    """The eight hex digits that tell one run of the load generator from the next."""
    return order_id.hex[:8]


@dataclass(frozen=True)
class Check:
    """What a comparison of accepted orders with committed rows has found."""

    #: Rows of this run, whatever they hold.
    committed: int
    #: Orders that were accepted and have no row.
    lost: int
    #: Rows of this run with a wrong value, or with an id that was never sent.
    wrong: int


def check(rows: Iterable[tuple[uuid.UUID, int]], prefix: str, sent: int, refused: Iterable[int]) -> Check:
    """Recompute every row of the run ``prefix``, in which orders 0..sent-1 were posted.

    A refused order may have a row or none (a server that answers 503 may still have stored it),
    but if it has one, its value counts.
    """
    found = {order_number(id_): value for id_, value in rows if order_prefix(id_) == prefix}
    accepted = set(range(sent)) - set(refused)
    wrong = sum(1 for number, value in found.items() if number >= sent or value != expected_value(number))
    return Check(committed=len(found), lost=len(accepted - found.keys()), wrong=wrong)

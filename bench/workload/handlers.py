"""Two handlers for the same order: one is given the list of events, one is given a single payload."""

from __future__ import annotations

import datetime
import uuid

import pydantic
import sqlalchemy
from sqlalchemy.dialects.postgresql import insert

from bench.work import TYPES, compute
from workers import Context, Event, handler

done = sqlalchemy.table(
    "done",
    sqlalchemy.column("id", sqlalchemy.Uuid()),
    sqlalchemy.column("value", sqlalchemy.BigInteger()),
)

INSERT_MANY = sqlalchemy.text(
    "insert into done (id, value) select * from unnest(cast(:ids as uuid[]), cast(:values as bigint[]))"
)


class Item(pydantic.BaseModel):
    """One line of an order."""

    sku: str
    quantity: int


class Order(pydantic.BaseModel):
    """An order as load.c posts it."""

    order: uuid.UUID
    customer: str
    amount: int
    placed_at: datetime.datetime
    name: str
    items: list[Item]
    note: str


@handler("bench.bulk", payload=Order, bulk=True)
def work_bulk(events: list[Event], ctx: Context) -> None:
    """Write the rows of a whole bundle with one statement."""
    orders: list[Order] = [event.payload for event in events]
    ctx.session.execute(
        INSERT_MANY,
        {
            "ids": [str(order.order) for order in orders],
            "values": [compute(order.customer, order.amount) for order in orders],
        },
    )


@handler("bench.ordinary", payload=Order)
def work_ordinary(order: Order, ctx: Context) -> None:
    """Write one row, as most handlers do."""
    value = compute(order.customer, order.amount)
    ctx.session.execute(insert(done).values(id=order.order, value=value))


for _number in range(TYPES):
    handler(f"bench.bulk.t{_number}", payload=Order, bulk=True)(work_bulk)
    handler(f"bench.ordinary.t{_number}", payload=Order)(work_ordinary)

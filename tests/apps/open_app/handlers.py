"""Types that take anything, and types that are strict."""

from __future__ import annotations

from typing import Any

import pydantic

from workers import handler


class Order(pydantic.BaseModel, extra="forbid", strict=True):
    """Every field must be there, and nothing else."""

    number: int
    name: str
    paid: bool
    lines: list[int]


@handler("open.any")
def take(payload: Any) -> None:
    """Take any JSON."""


@handler("open.order", payload=Order)
def order(payload: Order) -> None:
    """Take an order."""

"""The shapes of load: how orders arrive."""

from __future__ import annotations

from dataclasses import dataclass

#: Orders for which there is room in one load of so many seconds; nobody takes that many.
PLENTY = 2_000_000
#: Bytes of an order where nothing else is said.
SIZE = 300


@dataclass(frozen=True)
class Shape:
    """One way in which orders arrive. Every contestant is measured under it in turn."""

    #: How it is found again in a result of another day.
    key: str
    #: The heading of its table.
    title: str
    #: Seconds in which new orders are sent.
    seconds: float
    connections: int = 32
    #: Orders in a request.
    batch: int = 1
    #: Bytes of an order.
    size: int = SIZE
    #: Types among which orders are spread.
    types: int = 1
    #: Orders per second that are due, however fast the answers are; 0: as many as the contestant takes.
    rate: float = 0.0
    #: The load ends at so many orders, if it has not ended before.
    orders: int = PLENTY

    @property
    def paced(self) -> bool:
        """Whether the rate is given, and latencies are what is asked."""
        return self.rate > 0


def single(seconds: float) -> Shape:
    """One order per request."""
    return Shape("single", "One order per request, 32 connections", seconds)


def batch(seconds: float) -> Shape:
    """A hundred orders per request."""
    return Shape("batch", "100 orders per request, 32 connections", seconds, batch=100)


def paced(seconds: float) -> Shape:
    """A steady flow that leaves everybody time."""
    return Shape("paced", "200 orders per second, one per request", seconds, rate=200)

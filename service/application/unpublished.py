"""What stands where a publisher would, in a process that publishes nothing: the clocks find the tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from service.application.publish import Publisher
from service.domain import errors
from service.domain import ticket as tickets


class Unpublished(Publisher):
    """Lets every ticket go: it is due in the ledger."""

    def __init__(self) -> None:
        super().__init__(_nobody)

    def put(self, batch: Sequence[tickets.Ticket]) -> None:
        """Nothing: a clock publishes these."""


def _nobody() -> NoReturn:
    raise errors.BrokerUnavailable("this process publishes nothing")

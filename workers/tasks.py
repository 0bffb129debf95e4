"""A Celery task for each event type: reads the ticket, executes it, and says what came of it."""

from __future__ import annotations

import logging
import os
import random
import time
from typing import Any

import celery
from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import Reject

from service import bootstrap
from service.application.execute import Executor, Report
from service.domain import errors, handlers
from service.domain import ticket as tickets
from service.ledger import engine as engines

log = logging.getLogger("millrace.work")

PAUSE = (0.1, 2.0)  #: seconds between tries while servers are away: first, longest


class TicketTask(celery.Task[Any, Any]):
    """The task of one event type."""

    Request = "workers.request:Request"
    typing = False
    max_retries = 0
    resultrepr_maxsize = 1_000_000  #: characters; the report of a thousand events must not be cut

    road: bootstrap.WorkRoad
    _executor: Executor | None = None
    _pid = 0

    def run(self, *args: Any, **kwargs: Any) -> Report:
        """Work a ticket; the report goes to the worker's parent, which counts it."""
        delivery = self._delivery(args, kwargs)
        deadline = time.monotonic() + self.road.settings.fault_patience
        pause = PAUSE[0]
        while True:
            try:
                return self.executor.execute(delivery)
            except Exception as error:
                if not engines.is_infrastructure(error):
                    raise
                # No event is to blame: wait here, which also slows the worker down, then give the ticket back.
                if time.monotonic() > deadline:
                    log.warning("The ledger stays away; the ticket goes back", extra={"action": "work.returned"})
                    raise Reject("the ledger cannot be used", requeue=True) from error
                log.warning("The ledger is away: %s", _line(error), extra={"action": "work.waiting"})
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(PAUSE[1], pause * 2)

    @property
    def executor(self) -> Executor:
        """The executor of this process."""
        if self._executor is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._executor = bootstrap.executor(self.road, (SoftTimeLimitExceeded,))
        return self._executor

    def _delivery(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tickets.Delivery:
        request = self.request
        redelivered = bool((request.delivery_info or {}).get("redelivered"))
        try:
            if kwargs or len(args) != 1:
                raise errors.ForeignMessage("one argument is wanted")
            if request.callbacks or request.errbacks or request.chain or request.chord:
                raise errors.ForeignMessage("a ticket carries no other tasks")
            delivery = tickets.read(args[0], redelivered=redelivered)
            if delivery.type != self.name:
                raise errors.ForeignMessage(f"a ticket for {delivery.type} came as {self.name}")
        except errors.ForeignMessage as error:
            # It goes to the queue `dead`, where the clock tells ours from others'.
            log.warning("A message was refused: %s", error, extra={"action": "work.refused"})
            raise Reject(str(error), requeue=False) from error
        return delivery


def make(handler: handlers.Handler, road: bootstrap.WorkRoad) -> TicketTask:
    """The task for a handler."""
    task = TicketTask()
    task.name = handler.type
    task.road = road
    if handler.soft_limit is not None:
        task.soft_time_limit = handler.soft_limit  # type: ignore[assignment]
    if handler.hard_limit is not None:
        task.time_limit = handler.hard_limit  # type: ignore[assignment]
    return task


def _line(error: BaseException) -> str:
    return str(getattr(error, "orig", error)).strip().split("\n")[0]

"""A Celery task for each event type: reads the ticket, executes it, and says what came of it."""

from __future__ import annotations

import logging
import math
import os
import random
import time
from typing import Any

import celery
from billiard import common
from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import Reject

from service import bootstrap
from service.application.detached import Executor
from service.application.execute import Report
from service.domain import handlers
from service.domain import ticket as tickets
from service.ledger import engine as engines
from workers import limits, presence, retiring

log = logging.getLogger("millrace.work")

PAUSE = (0.1, 2.0)  #: seconds between tries while servers are away: first, longest


class TicketTask(celery.Task[Any, Any]):
    """The task of one event type."""

    Request = "workers.request:Request"
    typing = False
    max_retries = 0
    resultrepr_maxsize = 1_000_000  #: characters; the report of a thousand events must not be cut

    road: bootstrap.WorkRoad
    retirement: retiring.Retirement
    presence: presence.Presence
    _executor: Executor | None = None
    _pid = 0

    def run(self, *args: Any, **kwargs: Any) -> Report:
        """Work a ticket, or several; the report goes to the worker's parent, which counts it."""
        # Whatever else a message may hold was refused by the worker's parent (`workers.consumer`).
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        delivery = tickets.join([tickets.read(each, redelivered=redelivered) for each in args])
        try:
            with limits.believed(self.soft_time_limit), self.presence.holds(delivery):
                report = self._work(delivery)
                report.faults = self.presence.take_faults()
                return report
        except SoftTimeLimitExceeded as error:
            # It struck outside the handler, which is not to blame: the ledger was slow, or away. It may strike at any
            # line, so this stands around all of them: what leaks from a task is acked.
            raise self._given_back(delivery, "the time is up") from error

    def _work(self, delivery: tickets.Delivery) -> Report:
        """Execute; while the servers are away, wait and try again."""
        # A detached handler's message was acked when a child took it, so there is nothing to be given back.
        deadline = time.monotonic() + self.road.settings.fault_patience if self.acks_late else math.inf
        pause = PAUSE[0]
        while True:
            try:
                return self.executor.execute(delivery)
            except SoftTimeLimitExceeded:
                raise
            except Exception as error:
                if not engines.is_infrastructure(error):
                    # A fault of ours. The ticket comes back, through the queue `dead` or as if so, later each time.
                    log.exception(
                        "A ticket failed in a way that nobody thought of",
                        extra={"action": "work.failed", **delivery.ids},
                    )
                    raise self._given_back(delivery, type(error).__name__, requeue=False) from error
                # No event is to blame: wait here, which also slows the worker down, then give the ticket back.
                if time.monotonic() + pause > deadline or (not self.acks_late and self.retirement.has_come()):
                    raise self._given_back(delivery, "the ledger stays away") from error
                log.warning("The ledger is away: %s", _line(error), extra={"action": "work.waiting", **delivery.ids})
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(PAUSE[1], pause * 2)

    def _given_back(self, delivery: tickets.Delivery, reason: str, *, requeue: bool = True) -> Reject:
        found = {"action": "work.returned", **delivery.ids}
        try:
            if not self.acks_late:
                self.executor.give_back(delivery)
            log.warning("A ticket goes back: %s", reason, extra=found)
        except Exception as error:
            log.warning("A ticket lies until its patience ends: %s; %s", reason, _line(error), extra=found)
        return Reject(reason, requeue=requeue)

    @property
    def executor(self) -> Executor:
        """The executor of this process."""
        if self._executor is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._executor = bootstrap.executor(
                self.road,
                (SoftTimeLimitExceeded,),
                limits.Strikes(),
                common.terminate_handler_fired,  # type: ignore[attr-defined]
                retiring=self.retirement.has_come,
                end_process=retiring.end if retiring.is_child() else None,
            )
        return self._executor


def make(
    handler: handlers.Handler, road: bootstrap.WorkRoad, retirement: retiring.Retirement, here: presence.Presence
) -> TicketTask:
    """The task for a handler."""
    task = TicketTask()
    task.name = handler.type
    task.road = road
    task.retirement = retirement
    task.presence = here
    task.soft_time_limit, task.time_limit = handler.limits(road.settings.soft_limit, road.settings.hard_limit)  # type: ignore[assignment]
    if handler.detached:
        # The lease brings it back, and not the broker, who gives up a message that is not acked for half an hour.
        task.acks_late = False
        task.soft_time_limit, task.time_limit = handler.soft_limit, handler.hard_limit  # type: ignore[assignment]
    return task


def _line(error: BaseException) -> str:
    return str(getattr(error, "orig", error)).strip().split("\n")[0]

"""What a shop does all day."""

from __future__ import annotations

import datetime
import os
import signal
import time

import pydantic

from workers import Backoff, Context, Discard, Objective, Snooze, handler

QUICK = Backoff(base=0.3, cap=1.0)


class Job(pydantic.BaseModel):
    """What one event shall do."""

    seconds: float = 0.0  #: how long it takes
    fails: int = 0  #: how many attempts fail
    do: str = "work"  #: or: die, discard, snooze


def _work(job: Job, ctx: Context) -> object:
    time.sleep(job.seconds)
    if ctx.attempt <= job.fails:
        raise ConnectionError("the shop's mail server does not answer")
    if job.do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.do == "discard":
        return Discard("nobody wants it any more")
    age = datetime.datetime.now(datetime.UTC) - ctx.event.accepted_at
    return Snooze(seconds=0.2) if job.do == "snooze" and age.total_seconds() < 1 else None


@handler(
    "orders.placed",
    payload=Job,
    attempts=3,
    backoff=QUICK,
    objective=Objective(start="5s", p=0.99, success=0.999),
)
def placed(job: Job, ctx: Context) -> object:
    """Take an order."""
    return _work(job, ctx)


@handler("invoices.written", payload=Job, attempts=3, backoff=QUICK)
def written(job: Job, ctx: Context) -> object:
    """Write an invoice."""
    return _work(job, ctx)


@handler(
    "mails.sent",
    payload=Job,
    bundle=1,
    attempts=3,
    backoff=QUICK,
    objective=Objective(start="30s", p=0.95, success=0.99),
)
def sent(job: Job, ctx: Context) -> object:
    """Send a mail."""
    return _work(job, ctx)


@handler("reports.built", payload=Job, bundle=5, attempts=2, backoff=QUICK)
def built(job: Job, ctx: Context) -> object:
    """Build a report."""
    return _work(job, ctx)


@handler("shop.tidied", payload=Job)
def tidied(job: Job, ctx: Context) -> object:
    """Tidy up."""
    return _work(job, ctx)

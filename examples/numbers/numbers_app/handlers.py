"""What is done with the events of this application. Effect and outcome are committed together."""

from __future__ import annotations

from typing import Any

from numbers_app import jobs, payloads, queries
from workers import Context, Objective, handler

#: Seconds for which one tick works, well below the soft limit. What is left waits for the next minute.
BUDGET = 20.0


@handler(
    "numbers.requested",
    payload=payloads.NumberRequest,
    objective=Objective(start="5s", p=0.99, success=0.999),
)
def store(payload: payloads.NumberRequest, ctx: Context) -> str:
    """Keep a list of numbers with their jobs. The first list with a rid stays."""
    if queries.store(ctx.session, payload.rid, payload.numbers, payload.jobtodo):
        return "OK"
    return f"There is a request {payload.rid} already; nothing was changed."


@handler("numbers.updated", payload=payloads.NumberUpdate, bundle=1)
def update(payload: payloads.NumberUpdate, ctx: Context) -> str:
    """Set job word and result of single numbers, all or none.

    It waits for numbers that are being worked, and rides on a ticket of its own, so that no other
    event waits with it.
    """
    wrong = queries.update(ctx.session, payload.numbers_id, payload.numbers, payload.jobtodo_new, payload.result)
    if wrong is None:
        return "OK"
    if wrong.found is None:
        return f"There is no number with the id {wrong.id}; nothing was changed."
    return f"The number with the id {wrong.id} is {wrong.found} and not {wrong.said}; nothing was changed."


@handler("numbers.sum")
def add(payload: Any, ctx: Context) -> dict[str, Any]:
    """Add 2 to every number whose job is ``sum``."""
    return _work_off(jobs.Job.SUM, ctx)


@handler("numbers.mul")
def multiply(payload: Any, ctx: Context) -> dict[str, Any]:
    """Multiply by 2 every number whose job is ``mul``."""
    return _work_off(jobs.Job.MUL, ctx)


@handler("numbers.heartbeat")
def heartbeat(payload: Any, ctx: Context) -> None:
    """Write a line into the log, so that somebody who looks sees the application alive."""
    waiting = queries.open_jobs(ctx.session)
    ctx.log.info("The numbers application is alive; %d jobs are open.", waiting)


def _work_off(job: jobs.Job, ctx: Context) -> dict[str, Any]:
    worked, all_of_them = queries.work_off(ctx.session, job, seconds=BUDGET)
    if worked:
        ctx.log.info("%d numbers have their %s.", worked, job)
    return {"worked": worked, "all": all_of_them}

"""A detached handler: it notes that it began, and then does what its payload says."""

from __future__ import annotations

import os
import pathlib
import time

import pydantic
from sqlalchemy import text

from tests.apps.detached_app import QUEUE
from tests.apps.ledger_app.handlers import add
from workers import Backoff, Context, handler


class Work(pydantic.BaseModel):
    """What one run shall do after it has added one to the balance, which it commits at once."""

    seconds: float = 0.0  #: how long it takes
    looks: bool = False  #: whether it says how far it is, and so hears of a cancel
    gate: str = ""  #: a folder: it waits there until it holds a file ``go``


@handler("long.work", payload=Work, detached=True, queue=QUEUE, attempts=3, backoff=Backoff(base=0.2, cap=0.5))
def work(payload: Work, ctx: Context) -> int:
    """Take its time; the result is the process that has done it."""
    add(ctx, ctx.event)
    ctx.session.commit()
    begin = time.monotonic()
    folder = pathlib.Path(payload.gate) if payload.gate else None
    if folder is not None:
        (folder / f"run-{os.getpid()}").touch()
    while time.monotonic() - begin < payload.seconds or (folder is not None and not (folder / "go").exists()):
        if payload.looks:
            ctx.progress(min(1.0, (time.monotonic() - begin) / (payload.seconds or 60.0)), "working")
        time.sleep(0.02)
    return os.getpid()


class Fenced(pydantic.BaseModel):
    """What a run shall do whose effect is committed with its outcome."""

    number: int  #: which post it was
    seconds: float = 0.0  #: how long it takes


@handler("long.fenced", payload=Fenced, detached=True, queue=QUEUE, attempts=3, backoff=Backoff(base=0.2, cap=0.5))
def fenced(payload: Fenced, ctx: Context) -> int:
    """Note that it runs, which may happen more than once; take its time; and leave its effect to its outcome."""
    run = {"event": ctx.event.id, "attempt": ctx.attempt, "pid": os.getpid()}
    ctx.session.execute(text("insert into runs values (:event, :attempt, :pid)"), run)
    ctx.session.commit()
    time.sleep(payload.seconds)
    add(ctx, ctx.event)
    return os.getpid()

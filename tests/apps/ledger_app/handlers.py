"""Handlers that do what handlers should, and what they should not."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pathlib
import signal
import sys
import time
from typing import Any

import pydantic
from sqlalchemy import text

from workers import Backoff, Context, Event, handler

QUICK = Backoff(base=0.2, cap=0.5)


class Step(pydantic.BaseModel):
    """What one event shall do before it adds one to the balance."""

    do: str = "add"
    seconds: float = 0.0  #: for slow, sleep, query, hang and mask
    times: int = 0  #: for fail: how many attempts fail
    megabytes: int = 0  #: for eat
    gate: str = ""  #: for gate, need and seize: the folder with the files ``started``, ``go`` and ``fail``
    accounts: tuple[int, ...] = ()  #: for cross: which rows it locks, one after the other
    number: int | None = None  #: which post it was, for clients who count theirs


def add(ctx: Context, found: Event) -> None:
    """The effect: one more on the balance, and a row that says who did it."""
    ctx.session.execute(text("update account set balance = balance + 1 where id = 1"))
    _sign(ctx, found)


def add_apart(ctx: Context, found: Event) -> None:
    """The same effect in a row of its own: nobody waits for the other's lock."""
    ctx.session.execute(text("insert into account (balance) values (1)"))
    _sign(ctx, found)


def _sign(ctx: Context, found: Event) -> None:
    ctx.session.execute(
        text("insert into effects values (:event, :attempt, :pid, :number)"),
        {
            "event": found.id,
            "attempt": found.attempt,
            "pid": os.getpid(),
            "number": _number(found.payload),
        },
    )


def _number(payload: Any) -> Any:
    """The client's own; a bulk handler's events have their payloads parsed, all others as they came."""
    return payload.number if isinstance(payload, Step) else (payload or {}).get("number")


@handler("ledger.step", payload=Step, bundle=50, attempts=3, backoff=QUICK)
def step(payload: Step, ctx: Context) -> Any:
    """Do what the payload says, in a bundle with others."""
    return ACTIONS[payload.do](payload, ctx)


@handler("ledger.alone", payload=Step, bundle=1, attempts=3, backoff=QUICK)
def alone(payload: Step, ctx: Context) -> Any:
    """The same with a ticket for each event."""
    return ACTIONS[payload.do](payload, ctx)


@handler("ledger.torn", payload=Step, bundle=1, attempts=1_000, backoff=Backoff(base=2.0, cap=4.0))
def torn(payload: Step, ctx: Context) -> Any:
    """The same, tried again and again: what it needs comes back some day."""
    return ACTIONS[payload.do](payload, ctx)


@handler("ledger.bulk", payload=Step, bulk=True, bundle=50, attempts=2, backoff=QUICK)
def bulk(events: list[Event], ctx: Context) -> None:
    """All events in one call; the first that shall fail fails all."""
    for found in events:
        add(ctx, found)
        if found.payload.do != "add":
            raise RuntimeError(f"asked to {found.payload.do}")


@handler("ledger.mass", bulk=True, bundle=500, attempts=2, backoff=QUICK)
def mass(events: list[Event], ctx: Context) -> None:
    """The same effects as of ``ledger.bulk`` in two statements, however many there are."""
    ctx.session.execute(text("insert into account (balance) values (:number)"), {"number": len(events)})
    ctx.session.execute(
        text("insert into effects select unnest(cast(:events as uuid[])), 1, :pid"),
        {"events": [found.id for found in events], "pid": os.getpid()},
    )


def _add(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)


def _apart(payload: Step, ctx: Context) -> None:
    add_apart(ctx, ctx.event)


def _slow(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    time.sleep(payload.seconds)


def _sleep(payload: Step, ctx: Context) -> None:
    """Hears the soft limit."""
    add_apart(ctx, ctx.event)
    time.sleep(payload.seconds)


def _query(payload: Step, ctx: Context) -> None:
    """Waits in the ledger, where no signal reaches it."""
    add_apart(ctx, ctx.event)
    ctx.session.execute(text("select pg_sleep(:seconds)"), {"seconds": payload.seconds})


def _fail(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    if ctx.attempt <= payload.times:
        raise RuntimeError(f"attempt {ctx.attempt} was asked to fail")


def _need(payload: Step, ctx: Context) -> None:
    """Fails until the gate is opened."""
    add_apart(ctx, ctx.event)
    if not (pathlib.Path(payload.gate) / "go").exists():
        raise RuntimeError("what it needs is away")


def _kill(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    sys.exit(1)


def _cancel(payload: Step, ctx: Context) -> None:
    """What a handler that runs a loop of its own may let through: no Exception, only a BaseException."""
    add(ctx, ctx.event)
    raise asyncio.CancelledError


def _hang(payload: Step, ctx: Context) -> None:
    """Deaf to the soft limit, as code is that catches whatever comes."""
    add_apart(ctx, ctx.event)
    end = time.monotonic() + payload.seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except Exception:
            continue


def _mask(payload: Step, ctx: Context) -> None:
    """Deaf to every signal that can be blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _hang(payload, ctx)


def _seize(payload: Step, ctx: Context) -> None:
    """C code that keeps the interpreter for itself: no handler of a signal runs before it returns."""
    add_apart(ctx, ctx.event)
    if payload.gate:
        _stand_at(pathlib.Path(payload.gate), ctx)
    if not payload.gate or not (pathlib.Path(payload.gate) / "go").exists():
        mutex = ctypes.create_string_buffer(128)
        for _ in range(2):  # Who has it already waits for it for ever; no signal ends this wait.
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)


def _eat(payload: Step, ctx: Context) -> None:
    """Use memory, and give none of it back."""
    add(ctx, ctx.event)
    eaten = [bytearray(os.urandom(1 << 20)) for _ in range(payload.megabytes)]
    raise RuntimeError(f"there was room for {len(eaten)} megabytes")


def _cross(payload: Step, ctx: Context) -> None:
    """Lock rows in the order that was asked for, slowly: two in crossed orders stand in each other's way."""
    for account in payload.accounts:
        ctx.session.execute(text("update account set balance = balance where id = :id"), {"id": account})
        time.sleep(0.3)
    add(ctx, ctx.event)


def _commit(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    ctx.session.commit()


def _commit_and_fail(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    ctx.session.commit()
    raise RuntimeError("after its own commit")


def _rollback(payload: Step, ctx: Context) -> None:
    ctx.session.execute(text("update account set balance = balance + 1000 where id = 1"))
    ctx.session.rollback()
    add(ctx, ctx.event)


def _close(payload: Step, ctx: Context) -> None:
    add(ctx, ctx.event)
    ctx.session.close()


def _gate(payload: Step, ctx: Context) -> None:
    """Stop in mid-handler, effect written and nothing committed, until the test opens the gate."""
    add(ctx, ctx.event)
    folder = pathlib.Path(payload.gate)
    _stand_at(folder, ctx)
    while not (folder / "go").exists():
        time.sleep(0.02)
    if (folder / "fail").exists():
        (folder / "fail").unlink()
        raise RuntimeError("the gate said fail")


def _stand_at(folder: pathlib.Path, ctx: Context) -> None:
    """Say who is here, the first time."""
    if not (folder / "started").exists():
        pid = ctx.session.execute(text("select pg_backend_pid()")).scalar_one()
        (folder / "part").write_text(f"{os.getpid()} {pid}")
        (folder / "part").rename(folder / "started")


ACTIONS = {
    "add": _add,
    "apart": _apart,
    "slow": _slow,
    "sleep": _sleep,
    "query": _query,
    "fail": _fail,
    "need": _need,
    "kill": _kill,
    "leave": _leave,
    "cancel": _cancel,
    "hang": _hang,
    "mask": _mask,
    "seize": _seize,
    "eat": _eat,
    "cross": _cross,
    "commit": _commit,
    "commit_and_fail": _commit_and_fail,
    "rollback": _rollback,
    "close": _close,
    "gate": _gate,
}

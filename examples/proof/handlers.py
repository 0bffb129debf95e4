"""Handlers for sceptics."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import text

from workers import Context, handler


@handler("proof.count", bundle=10)
def count(payload: dict[str, Any], ctx: Context) -> None:
    """Write a row, then take its time: who kills the worker now leaves no row."""
    ctx.session.execute(text("insert into proof (event) values (:id)"), {"id": ctx.event.id})
    time.sleep(payload.get("seconds", 0))


@handler("proof.fail", attempts=1)
def fail(payload: Any, ctx: Context) -> None:
    """Write a row, and fail: nobody will see the row."""
    ctx.session.execute(text("insert into proof (event) values (:id)"), {"id": ctx.event.id})
    raise RuntimeError("as it was asked to")


@handler("proof.tick")
def tick(payload: Any) -> None:
    """Nothing: the slots are counted."""

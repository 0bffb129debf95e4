"""One handler, of a type that an older worker does not know."""

from __future__ import annotations

from tests.apps.ledger_app.handlers import Step, add
from workers import Context, handler


@handler("later.step", payload=Step)
def step(payload: Step, ctx: Context) -> None:
    """Add one."""
    add(ctx, ctx.event)

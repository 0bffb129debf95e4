"""What a tick does."""

from __future__ import annotations

from tests.apps.ledger_app.handlers import add
from workers import Context, handler


@handler("ticking.second")
def second(payload: object, ctx: Context) -> None:
    """Add one."""
    add(ctx, ctx.event)

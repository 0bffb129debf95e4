"""The call of a handler: log lines know what runs, and whoever listens hears when it begins and ends."""

from __future__ import annotations

from typing import Any

from service import signals
from service.application import context
from service.domain.handlers import Handler


def call(handler: Handler, given: Any, ctx: context.Context) -> Any:
    """Call a handler with a payload or, in bulk, with events; what it returns or raises."""
    token = context.running.set(ctx)
    try:
        return _traced(handler, given, ctx) if signals.run_begun.receivers else handler.function(given, ctx)
    finally:
        context.running.reset(token)


def _traced(handler: Handler, given: Any, ctx: context.Context) -> Any:
    ctx.traceparent = signals.asked(signals.run_begun, ctx.traceparent, events=ctx.events, queue=handler.queue)
    try:
        answer = handler.function(given, ctx)
    except BaseException as error:
        signals.run_ended.send(None, answer=None, error=error)
        raise
    signals.run_ended.send(None, answer=answer, error=None)
    return answer

"""The call of a handler: whoever listens hears when it begins and ends."""

from __future__ import annotations

from typing import Any

from service import signals
from service.application.context import Context
from service.domain.handlers import Handler


def call(handler: Handler, given: Any, ctx: Context) -> Any:
    """Call a handler with a payload or, in bulk, with events; what it returns or raises."""
    if not signals.run_begun.receivers:
        return handler.function(given, ctx)
    ctx.traceparent = signals.asked(signals.run_begun, ctx.traceparent, events=ctx.events, queue=handler.queue)
    try:
        answer = handler.function(given, ctx)
    except BaseException as error:
        signals.run_ended.send(None, answer=None, error=error)
        raise
    signals.run_ended.send(None, answer=answer, error=None)
    return answer

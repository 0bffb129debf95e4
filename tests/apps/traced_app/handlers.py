"""Handlers that call out, fail and die."""

from __future__ import annotations

import urllib.request

from service.client import Client
from workers import Context, Event, Retry, handler


@handler("traced.call", bundle=10)
def call(payload: dict[str, str], ctx: Context) -> None:
    """Call another service, which sees where it stands in the trace."""
    headers = {"traceparent": ctx.traceparent} if ctx.traceparent else {}
    urllib.request.urlopen(urllib.request.Request(payload["url"], headers=headers), timeout=10).close()


@handler("traced.emit", bundle=1)
def emit(payload: dict[str, str], ctx: Context) -> None:
    """Send another event, in the same trace."""
    with Client(payload["door"], producer="traced") as client:
        client.submit("traced.call", {"url": payload["url"]}, key=ctx.idempotency_key, traceparent=ctx.traceparent)


@handler("traced.fail", bundle=1, attempts=1)
def fail(payload: object, ctx: Context) -> None:
    """Fail with words that hold a secret."""
    raise RuntimeError("postgresql://me:hidden-secret@ledger/x does not answer")


@handler("traced.later", bundle=1, attempts=2)
def later(payload: object, ctx: Context) -> object:
    """Succeed the second time."""
    return Retry(after=0.1) if ctx.attempt == 1 else None


@handler("traced.bulk", bulk=True, bundle=50)
def bulk(events: list[Event], ctx: Context) -> None:
    """All at once."""

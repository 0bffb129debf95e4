"""The handler of requests over HTTP."""

from __future__ import annotations

import functools
from typing import Any

from service import settings
from service.domain import errors, webhooks
from workers import Backoff, Context, Discard, Retry, handler
from workers.http import client, guard, headers
from workers.http.request import Request

QUEUE = "http"
EXCERPT = 500  #: characters of a response that are kept with a failed attempt


@handler("http.request", payload=Request, detached=True, queue=QUEUE, attempts=8, backoff=Backoff(base=5, cap=3600))
def request(wanted: Request, ctx: Context) -> dict[str, Any]:
    """Send a request, and keep the response as the result.

    A status that is in ``retry`` (408, 425, 429, 5xx) is tried again, after ``Retry-After`` where it says so; any other
    one that is not in ``success`` (2xx) makes a dead letter at once. Redirects are not followed.
    """
    known = configured()
    try:
        sent = headers.of(wanted, ctx.event, ctx.traceparent) | _signed(known, wanted, ctx.event.id)
        response = client.send(
            wanted.verb,
            wanted.url,
            sent,
            wanted.content,
            known.request_networks,
            timeout=wanted.timeout,
            limit=known.request_keep,
        )
    except (guard.Forbidden, errors.SecretNotFound) as error:
        raise Discard(str(error)) from None
    if wanted.success.has(response.status):
        return response.document()
    about = f"{response.status} {response.reason}: {response.text[:EXCERPT]}".rstrip(": ")
    if wanted.retry.has(response.status):
        raise Retry(after=response.retry_after, reason=about)
    if 300 <= response.status < 400:
        about = f"redirects are not followed; name {response.headers.get('location', 'its target')} itself ({about})"
    raise Discard(about)


@functools.cache
def configured() -> settings.Settings:
    """Read when the first request is worked, and once."""
    return settings.load()


def _signed(known: settings.Settings, wanted: Request, event_id: str) -> dict[str, str]:
    if wanted.secret is None:
        return {}
    keys = webhooks.keys_for(known.webhook_secrets, wanted.secret, wanted.host)
    return webhooks.headers(keys, event_id, client.now(), wanted.content)

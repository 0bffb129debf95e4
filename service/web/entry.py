"""From what a request carries to what the intake takes: the checks that all formats of the door share."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any

import flask

from service import signals
from service.application.submission import Accepted
from service.domain import errors, event, handlers
from service.domain.access import Permission
from service.web import access, body, gate, idempotency, road, timing, trace


@dataclasses.dataclass(slots=True)
class Sent:
    """An event as it was sent, whatever its format."""

    type: str
    document: body.Document  #: its payload
    pointer: str = ""  #: where the payload stands in what was sent, as a JSON pointer
    key: str | None = None  #: idempotency key
    scope: str | None = None  #: what the key is unique in; None: the producer
    timing: timing.Timing = timing.NONE
    traceparent: str | None = None  #: None: the request's
    attributes: str | None = None  #: of a CloudEvent, as JSON
    told: str = ""  #: what a repeat must agree in, beside type, payload and times


def handler(registry: handlers.Registry, type: str) -> handlers.Handler:
    """The handler of a type; raises UnknownEventType, with a hint."""
    if type in registry:
        return registry.get(type)
    close = difflib.get_close_matches(type[:100], [h.type for h in registry])
    hint = f"; did you mean {' or '.join(close)}?" if close else " (GET /v1/types names those that are)"
    raise errors.UnknownEventType(f"no handler is declared for the event type {type[:100]!r}{hint}")


def checker(here: road.Road) -> Callable[[Sent], event.NewEvent]:
    """``new_event`` for what comes with the request that is served now."""
    g, environ = road.real(flask.g), road.real(flask.request).environ
    producer, request_id = g.producer, g.request_id
    return lambda sent: new_event(here, sent, producer, request_id, environ)


def new_event(
    here: road.Road, sent: Sent, producer: str | None, request_id: str, environ: dict[str, Any]
) -> event.NewEvent:
    """What the intake takes. Raises NotPermitted, UnknownEventType, InvalidEvent for a payload that does not fit."""
    principal = access.of(environ)
    if principal is not None and not principal.may_submit(sent.type):
        raise errors.NotPermitted(
            f"{principal.name} may post {', '.join(principal.types)}, and not {sent.type[:100]}",
            permission=Permission.SUBMIT.value,
        )
    parse = handler(here.registry, sent.type).parse
    if parse is not None:
        try:
            parse(sent.document.value)
        except errors.InvalidEvent as error:
            signals.events_accepted.send(None, counts={sent.type: 1}, outcome="invalid")
            if sent.pointer and not isinstance(error, errors.ModelFailed):
                faults = [errors.Fault(f"{sent.pointer}{f.pointer}", f.detail) for f in error.faults]
                raise errors.InvalidEvent(faults, str(error)) from None
            raise
    scope, mark = "", None
    if sent.key is not None:
        scope = idempotency.scope(environ) if sent.scope is None else idempotency.scope_of(sent.scope, environ)
        mark = idempotency.fingerprint(sent.type, sent.document, sent.timing.told(), sent.told)
    traceparent = sent.traceparent or environ.get(trace.KEY)
    return event.NewEvent(
        type=sent.type,
        payload=sent.document.text.decode(),
        producer=producer,
        request_id=request_id,
        run_at=sent.timing.run_at,
        delay=sent.timing.delay,
        expires_at=sent.timing.expires_at,
        key=sent.key,
        scope=scope,
        fingerprint=mark,
        traceparent=signals.asked(signals.event_created, traceparent, type=sent.type, traceparent=traceparent),
        attributes=sent.attributes,
    )


def accept(here: road.Road, sent: Sent) -> Accepted:
    """Store an event durably. Raises as ``new_event`` does, KeyReused, ExpiresTooSoon and NotAccepted."""
    new = checker(here)(sent)
    with gate.posts():
        return here.intake.submit([new])[0]

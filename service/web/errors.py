"""The one place where errors become HTTP: each is answered with a problem document (RFC 9457)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

import flask
import msgspec
from werkzeug import exceptions

from service.domain import errors
from service.ledger import engine as engines
from service.web import answer as answers
from service.web import body

log = logging.getLogger("millrace.web")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 2  #: seconds that a client is asked to wait for the ledger


class InvalidParameter(errors.MillraceError):
    """The query asks for something that cannot be answered."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {detail}" for name, detail in faults))
        self.faults = faults  #: (parameter, what is wrong with it)


class InvalidCloudEvent(errors.MillraceError):
    """This is no CloudEvent of version 1.0."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {detail}" for name, detail in faults))
        self.faults = faults  #: (attribute, what is wrong with it)


class EventTooLarge(errors.MillraceError):
    """One of the events is larger than an event may be."""


class NoneStored(errors.MillraceError):
    """None of these events was stored, for some of them cannot be."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(items)} of them cannot be stored")
        self.items = items  #: those, with their problems


class InvalidHeader(errors.MillraceError):
    """A header of the request cannot be understood."""


class MatchRequired(errors.MillraceError):
    """A change needs If-Match: the ETag of the schedule that it was made for, or * for any."""


#: The status of every error that may reach a client. The class's docstring is the problem's title.
STATUS: dict[type[errors.MillraceError], int] = {
    body.NotStrictJson: 400,
    InvalidHeader: 400,
    InvalidCloudEvent: 400,
    errors.BadCredential: 401,
    errors.NotSignedIn: 401,
    errors.NotPermitted: 403,
    errors.UnknownEventType: 404,
    errors.EventNotFound: 404,
    EventTooLarge: 413,
    errors.QueueNotFound: 404,
    errors.StrayNotFound: 404,
    errors.KeyNotFound: 404,
    errors.UserNotFound: 404,
    errors.ScheduleNotFound: 404,
    errors.BeingWorked: 409,
    errors.AlreadyEnded: 409,
    errors.NotDead: 409,
    errors.UserExists: 409,
    errors.OwnUser: 409,
    errors.TwoKeysLive: 409,
    errors.NoKeysHere: 409,
    errors.AlreadyReplayed: 409,
    errors.AlreadyDiscarded: 409,
    errors.ScheduleExists: 409,
    errors.DeclaredInCode: 409,
    errors.ScheduleRetired: 409,
    errors.ScheduleChanged: 412,
    InvalidParameter: 422,
    NoneStored: 422,
    errors.InvalidEvent: 422,
    errors.InvalidSchedule: 422,
    errors.SearchTooSlow: 422,
    errors.InvalidAccess: 422,
    errors.KeyReused: 422,
    errors.ExpiresTooSoon: 422,
    MatchRequired: 428,
    errors.TooManyRequests: 429,
    errors.ModelFailed: 500,
    errors.NotAccepted: 503,
    errors.Overloaded: 503,
    errors.LedgerUnavailable: 503,
    errors.SchemaNotReady: 503,
    errors.IssuerUnavailable: 503,
}

#: Their messages name servers and databases: they are for the logs.
DISCREET = (errors.LedgerUnavailable, errors.SchemaNotReady, errors.IssuerUnavailable)


def install(app: flask.Flask) -> None:
    """Answer all errors of ``app`` with problem documents."""
    app.register_error_handler(Exception, answer)


def answer(error: Exception) -> Any:
    """The response for an error."""
    if isinstance(error, exceptions.HTTPException):
        return _answer_http(error)
    if isinstance(error, errors.MillraceError):
        for known in type(error).__mro__:
            if known in STATUS:
                return _answer_known(error, known)
    if engines.is_infrastructure(error):
        return answer(errors.LedgerUnavailable(str(error)))
    log.error("A request failed in a way that nobody thought of", exc_info=error, extra={"action": "request.failed"})
    return problem(500, "Internal error", "Something went wrong here. It was noted under the id in `instance`.")


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    type: str = "about:blank",
    errors: Iterable[Mapping[str, str]] = (),
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> flask.Response:
    """A problem document as a response; ``members`` are added to it."""
    document = _document(status, title, detail, type, list(errors), members or {})
    document["instance"] = flask.g.get("request_id", "")
    return flask.Response(msgspec.json.encode(document), status, headers, content_type=MEDIA_TYPE)


def item(error: errors.MillraceError) -> dict[str, Any]:
    """The problem of one event among many, without an ``instance``; raises the error if it is not for clients."""
    known = next((known for known in type(error).__mro__ if known in STATUS), None)
    if known is None:
        raise error
    return _document(**_parts(error, known)[0])


def _document(
    status: int, title: str, detail: str, type: str, errors: list[Mapping[str, str]], members: Mapping[str, Any]
) -> dict[str, Any]:
    document: dict[str, Any] = {"type": type, "title": title, "status": status, "detail": detail}
    if errors:
        document["errors"] = errors
    return document | dict(members)


def _answer_known(error: errors.MillraceError, known: type) -> flask.Response:
    parts, headers = _parts(error, known)
    return problem(**parts, headers=headers)


def _parts(error: errors.MillraceError, known: type) -> tuple[dict[str, Any], dict[str, str]]:
    """The parts of a problem of ours, and its headers: type and title come from the class."""
    title = (known.__doc__ or "").split("\n")[0].rstrip(".")
    detail, headers = str(error), {}
    members: dict[str, Any] = dict(error.members)
    if isinstance(error, DISCREET):
        log.warning("A request cannot be answered: %s", error, extra={"action": "request.unavailable"})
        detail, headers = f"{title}.", {"Retry-After": str(RETRY_AFTER)}
    if isinstance(error, errors.ModelFailed):
        log.error("A payload model failed", exc_info=error.__cause__, extra={"action": "request.failed"})
    if isinstance(error, errors.NotAccepted):
        members, headers = _stored(error), {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.Overloaded):
        headers = {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.TooManyRequests):
        headers = {"Retry-After": str(error.retry_after)} | error.headers
    if (challenge := _challenge(error)) is not None:
        headers = {"WWW-Authenticate": challenge}
    if isinstance(error, NoneStored):
        members = {"items": error.items}
    parts = {
        "status": STATUS[known],
        "title": title,
        "detail": detail,
        "type": f"/problems/{slug(known)}",
        "errors": _faults(error),
        "members": members,
    }
    return parts, headers


def slug(known: type) -> str:
    """What a problem's ``type`` calls an error."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", known.__name__).lower()


def _challenge(error: errors.MillraceError) -> str | None:
    """How to show who one is (RFC 6750, section 3)."""
    if isinstance(error, errors.BadCredential):
        return 'Bearer realm="millrace", error="invalid_token"'
    if isinstance(error, errors.NotSignedIn):
        return 'Bearer realm="millrace"'
    if isinstance(error, errors.NotPermitted) and "permission" in error.members:
        return f'Bearer realm="millrace", error="insufficient_scope", scope="{error.members["permission"]}"'
    return None


def _stored(error: errors.NotAccepted) -> dict[str, Any]:
    """Whether the events may be in the ledger all the same; then their ids, to be asked for later."""
    return {"stored": "unknown", "event_ids": error.event_ids} if error.event_ids else {"stored": "no"}


def _faults(error: errors.MillraceError) -> list[dict[str, str]]:
    """What exactly is wrong, part by part."""
    if isinstance(error, InvalidParameter):
        return [{"parameter": name, "detail": detail} for name, detail in error.faults]
    if isinstance(error, InvalidCloudEvent):
        return [{"attribute": name, "detail": detail} for name, detail in error.faults]
    if isinstance(error, errors.InvalidEvent | body.NotStrictJson):
        return [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    return []


def _answer_http(error: exceptions.HTTPException) -> Any:
    """An error of Flask or of a view's ``abort``: status and headers are kept, the body becomes a problem."""
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    if isinstance(error, exceptions.MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted({*error.valid_methods, "OPTIONS"}))
        if flask.request.method == "OPTIONS":
            return answers.nothing(headers)  # RFC 9110, section 9.3.7
    return problem(error.code, error.name, error.description or error.name, headers=headers)

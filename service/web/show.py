"""An event as it is shown to clients."""

from __future__ import annotations

from typing import Any

import flask
import msgspec

from service.application.submission import Accepted
from service.domain import ids
from service.web import answer, links, prefer, road, veil

#: Columns of an event that hold JSON.
JSON_COLUMNS = ("payload", "result", "error", "attributes", "progress")
#: Those of them in which fields are masked.
MASKED = ("payload", "result", "attributes")


def accepted(one: Accepted) -> answer.Json:
    """The answer to a post: 202, or what came of the event if the client preferred to wait and it has ended."""
    environ = road.real(flask.request).environ
    document = accepted_document(one, road.current().intake, environ)
    headers = {"Location": document["links"]["self"]}
    preferred = environ.get("HTTP_PREFER")
    if preferred is not None and (ended := prefer.wait(one.id, preferred)) is not None:
        headers["Preference-Applied"] = "wait"
        if ended and (found := road.current().queries.find(one.id)) is not None:
            return answer.Json(event(found), headers=headers)
    return answer.Json(document, status=202, headers=headers)


def accepted_document(one: Accepted, intake: road.Intake, environ: dict[str, Any]) -> dict[str, Any]:
    """What is said of an event that was accepted by the request of this WSGI environment."""
    accepted_at = ids.instant(one.id)
    reason, expected_at = intake.expect(one, accepted_at)
    return {
        "id": one.id,
        "type": one.type,
        "state": "pending",
        "reason": reason,
        "accepted_at": accepted_at,
        "expected_at": expected_at,
        "links": {"self": links.place(one.id, environ)},
    }


def event(found: dict[str, Any], *, reveal: bool = False) -> dict[str, Any]:
    """An event with all that is known of it; what payload, result and attributes hide is masked, unless ``reveal``."""
    masked: list[str] = []
    for column in JSON_COLUMNS:
        if found[column] is None:
            continue
        # As PostgreSQL wrote it: no number loses a digit on the way.
        text = found[column].encode()
        if not reveal and column in MASKED:
            text, places = veil.masked_text(found[column], found["type"])
            masked += [f"/{column}{place}" for place in places]
        found[column] = msgspec.Raw(text)
    return links.added(found | {"masked": masked})

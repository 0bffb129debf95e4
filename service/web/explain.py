"""``GET /v1/events/<id>/explain``: why an event is not running, and when it is expected."""

from __future__ import annotations

import flask

from service.domain import errors
from service.domain.access import Permission
from service.web import access, answer, gate, links, road

pages = flask.Blueprint("explain", __name__, url_prefix="/v1")


@pages.get("/events/<event_id>/explain")
@access.needs(Permission.READ)
def explain_event(event_id: str) -> answer.Json:
    """Why an event is not running and when it is expected, or what became of it."""
    here = road.current()
    with gate.reads():
        try:
            record, found = here.operations.explainer.explain(event_id, broker=here.publisher.up)
        except errors.EventNotFound:
            raise here.queries.missing(event_id) from None
    document = {
        "id": record.id,
        "type": record.type,
        "state": record.state,
        "reason": found.reason,
        "sentence": found.sentence,
        "expected_at": found.expected_at,
        "facts": found.facts,
        "links": {"event": links.place(record.id)},
    }
    return answer.Json(document)

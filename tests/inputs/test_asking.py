"""Bad questions and acts, to a real web process: groups 65 to 74. None is answered with a 5xx, or leads elsewhere."""

from __future__ import annotations

import dataclasses
import http.client
import json
from typing import Any

import pytest

from tests.door import Answer, Door, accepted
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

PARAMETER = "/problems/invalid-parameter"
SCHEDULE = "/problems/invalid-schedule"
NO_EVENT = "/problems/event-not-found"
HERE: dict[str, Any] = {"name": "s", "type": "open.any", "plan": {"every": "1h"}}
ID = "00000000-0000-7000-8000-000000000000"
IN_PAYLOADS = "type=open.any&since=2026-01-01T00:00:00Z"
MARKUP = "%3Cscript%3Ealert(1)%3C/script%3E"


@dataclasses.dataclass(frozen=True)
class Row:
    """What is asked, and what comes back."""

    group: int
    target: str
    status: int
    problem: str = ""  #: type of the problem document
    method: str = "GET"
    document: Any = None  #: the body
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.target[:50]} {json.dumps(self.document)[:60] if self.document else ''}"


def odd(query: str, status: int = 422) -> Row:
    return Row(65, f"/v1/events?{query}", status, PARAMETER if status == 422 else "")


def plan(document: Any, status: int = 422) -> Row:
    return Row(74, "/v1/schedules/preview", status, SCHEDULE if status == 422 else "", "POST", document)


def made(status: int = 422, **changes: Any) -> Row:
    return Row(74, "/v1/schedules", status, SCHEDULE if status == 422 else "", "POST", HERE | changes)


def crossing(target: str, origin: str) -> Row:
    return Row(72, target, 204, method="OPTIONS", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})


ROWS = [
    *(odd(q) for q in ("page=-1", "page=1000000000", "page=x", "limit=0", "limit=-1", "limit=1e9", "limit=501")),
    *(
        odd(q)
        for q in ("sort=payload", "order=desc", "sort=id;drop%20table", "cursor=%00", "cursor=newer.", "cursor=x")
    ),
    *(odd(q) for q in ("cursor=newer.newer." + ID, "type=a'or'1'='1", "type=%25", "state=%5C", "since=%27", "text=")),
    *(
        odd(f"type=open.any&since=2026-01-01T00:00:00Z&text={t}", 200)
        for t in ("%27--", "%25_%5C", "a" * 200, "$1%(id)s")
    ),
    odd(f"type=open.any&since=2026-01-01T00:00:00Z&text={'a' * 201}"),
    odd("type=open.any&since=2026-01-01T00:00:00Z&text=%00"),
    odd("producer=%25'%5C_", 200),
    odd(f"cursor=newer.{ID}", 200),
    odd("cursor=ffffffff-ffff-ffff-ffff-ffffffffffff", 200),
    Row(65, "/v1/dead?cursor=99999999999999999." + ID, 200),
    Row(65, "/v1/dead?cursor=1.2", 422, PARAMETER),
    Row(65, "/v1/strays?cursor=-1", 422, PARAMETER),
    Row(65, "/v1/processes?kind=%27", 422, PARAMETER),
    Row(65, "/v1/workers?kind=worker", 422, PARAMETER),
    Row(65, "/v1/queues?limit=1", 422, PARAMETER),
    Row(65, "/v1/overview?type=%27", 422, PARAMETER),
    Row(65, "/v1/dead/groups?limit=-1", 422, PARAMETER),
    Row(65, "/v1/events?count=maybe", 422, PARAMETER),
    Row(65, "/v1/events/%27or%271%27=%271/explain", 404, NO_EVENT),
    Row(65, f"/v1/events/{'a' * 5000}/explain", 404, NO_EVENT),
    Row(65, "/v1/events/%00/explain", 404, NO_EVENT),
    Row(66, f"/v1/types/{MARKUP}/pause", 404, "about:blank", "POST"),  # Its slash makes it another place.
    Row(66, "/v1/queues/%3Cimg%20src=x%3E/pause", 404, "/problems/queue-not-found", "POST"),
    Row(66, f"/docs?{MARKUP}", 200),
    Row(68, f"/v1/events/{ID}/replay", 404, NO_EVENT, "POST"),
    Row(68, "/v1/events/x/replay", 404, NO_EVENT, "POST"),
    Row(71, "//evil.example/%2e%2e", 404, "about:blank"),
    Row(71, "/v1/types/?next=//evil.example", 404, "about:blank"),
    crossing("/v1/events", "null"),
    crossing("/v1/events/open.any", "https://evil.example"),
    crossing("/openapi.json", "https://evil.example"),
    *(
        plan({"cron": c})
        for c in ("60 * * * *", "0 0 30 2 *", "*/0 * * * *", "", "* * * *", "a" * 5000, "* * * * *\n* *")
    ),
    plan({"cron": "* * * * * *"}, 200),  # Every second: its first field are seconds.
    *(plan({"cron": "0 3 * * *", "tz": z}) for z in ("Mars/X", "", "../../etc/passwd", "Europe/Berlin\n", 7)),
    *(plan({"every": e}) for e in (0, -1, 1e-9, "0s", "-1h", "1e9d", "", None, True, [], 1e308)),
    *(plan(d) for d in ({}, [], None, 7, "x", {"every": "1h", "cron": "* * * * *"}, {"at": "soon"}, {"nope": 1})),
    *(made(name=n) for n in ("a\nb", "", "A", "../x", "a" * 101, "preview/../x", None, 7)),
    *(made(type=t) for t in ("nope", "", None, 7)),
    *(made(overlap=o) for o in ("never", 7, [])),
    made(jitter="soon"),
    made(nope=1),
    Row(74, "/v1/schedules/s/year?year=0", 422, PARAMETER),
    Row(74, "/v1/schedules/nope/year?year=2026", 404, "/problems/schedule-not-found"),
    Row(74, "/v1/schedules/preview?next=0", 422, PARAMETER, "POST", {"every": "1h"}),
    Row(74, "/v1/schedules/preview?tz=Mars/X", 422, SCHEDULE, "POST", {"every": "1h"}),
]


def ask(door: Door, row: Row) -> tuple[Answer, str]:
    """The answer, and its body as it came."""
    host, _, port = door.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30 * PATIENCE)
    body = None if row.document is None and row.problem != SCHEDULE else json.dumps(row.document)
    headers = row.headers | ({"Content-Type": "application/json"} if body else {})
    connection.request(row.method, row.target, body, headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    found = {name.lower(): value for name, value in response.getheaders()}
    document = json.loads(text) if text and "json" in found.get("content-type", "") else None
    return Answer(response.status, found, document, 0.0), text


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_bad_question_is_told_what_is_wrong_with_it(door: Door, row: Row) -> None:
    answer, text = ask(door, row)
    assert answer.status == row.status, text
    assert "location" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]
    if row.problem:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.document["type"] == row.problem
        assert row.status != 422 or answer.document["errors"]
    if "html" in answer.headers.get("content-type", ""):
        assert "<script" not in text


def test_head_has_the_length_of_what_get_has_and_no_body(door: Door) -> None:
    for place in ("/healthz", "/openapi.json", "/docs", "/v1/events", "/nope"):
        get, head = (ask(door, Row(11, place, 200, method=method)) for method in ("GET", "HEAD"))
        assert (head[0].status, head[1]) == (get[0].status, "")
        assert head[0].headers.get("content-type") == get[0].headers.get("content-type")
        assert head[0].headers["content-length"] == get[0].headers["content-length"] == str(len(get[1].encode()))


def test_what_is_written_into_payloads_is_never_mark_up(door: Door) -> None:
    [event_id] = accepted([door.post("open.any", text="<script>alert(1)</script>")])
    answer, text = ask(door, Row(66, f"/v1/events/{event_id}", 200))
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(text)["payload"] == {"text": "<script>alert(1)</script>"}

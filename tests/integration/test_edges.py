"""At the ends of what can be written: NUL in a path, instants where time ends, numbers that are none, odd headers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from service import web
from tests.front import Front
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T12:00:00Z"
HUGE = "1" + "0" * 400
HERE: dict[str, Any] = {"type": "orders.created", "plan": {"every": "1h"}, "payload": {}}


@pytest.fixture(scope="module")
def ledger(shared_database: str) -> Ledger:
    found = Ledger(shared_database)
    found.handler("orders.created", print)
    return found


@pytest.fixture(scope="module")
def client(ledger: Ledger) -> FlaskClient:
    found = Front(ledger).client()
    assert found.post("/v1/schedules", json=HERE | {"name": "hourly"}).status_code == 201
    return found


def test_a_nul_in_a_path_leads_nowhere(ledger: Ledger) -> None:
    app = web.create_app(Front(ledger))
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.arguments:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for variable in rule.arguments:
                values = dict.fromkeys(rule.arguments, "orders.created") | {variable: "a\0b"}
                path = re.sub(r"<(?:\w+:)?(\w+)>", lambda one, given=values: given[one[1]], rule.rule)
                query = {"year": 2026} if path.endswith("/year") else {}
                answer = app.test_client().open(path.replace("\0", "%00"), method=method, query_string=query)
                found.append((method, rule.rule, answer.status_code))
    found.remove(("DELETE", "/v1/users/<name>/sessions", 200))  # Nobody of that name is signed in any more.
    assert [one for one in found if not 400 <= one[2] < 500] == []
    # The others miss something else before.
    assert sum(status == 404 for _, _, status in found) > 40, found


@pytest.mark.parametrize("moment", [FIRST, "1899-12-31T23:59:59Z", "9000-12-31T23:59:59Z", LAST])
def test_an_instant_at_the_ends_of_time_is_taken_everywhere(client: FlaskClient, moment: str) -> None:
    name = f"from-{moment[:4]}"
    made = client.post("/v1/schedules", json=HERE | {"name": name, "starts_at": moment, "jitter": "30m"})
    assert made.status_code == 201, made.text
    for plan in ({"every": "1h"}, {"every": "366d"}, {"cron": "0 0 1 1 *", "tz": "Pacific/Kiritimati"}):
        answer = client.post(f"/v1/schedules/preview?next=1000&tz=Pacific/Kiritimati&after={moment}", json=plan)
        assert answer.status_code == 200, plan
    for path in (f"/v1/schedules/{name}/preview?next=100", f"/v1/schedules/{name}", f"/console/schedules/{name}"):
        assert client.get(path).status_code == 200, path
    assert client.get(f"/v1/schedules/{name}/year?year=2199").status_code == 200
    fill = f"/v1/schedules/{name}/backfill?dry_run=true&since={FIRST}&until={LAST}"
    assert client.post(fill).status_code == 200
    for path in (f"/v1/events?since={moment}", f"/v1/dead?until={moment}", f"/v1/audit?since={moment}&until={moment}"):
        assert client.get(path).status_code == 200, path
    assert client.get("/console/schedules").status_code == 200


def test_a_length_of_time_that_no_double_holds_is_refused(client: FlaskClient) -> None:
    for anchor in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert client.post("/v1/schedules/preview", json={"every": "1h", "anchor": anchor}).status_code == 422
    for name in ("misfire_window", "jitter", "expires_after", "max_runs"):
        for value in (HUGE, f"-{HUGE}", "1e400"):
            data = f'{{"name": "h", "type": "orders.created", "plan": {{"every": "1h"}}, "{name}": {value}}}'
            answer = client.post("/v1/schedules", data=data, content_type="application/json")
            assert answer.status_code in (400, 422), (name, value)
    answer = client.post("/v1/schedules/preview", data=f'{{"every": {HUGE}}}', content_type="application/json")
    assert answer.status_code == 422


@pytest.mark.parametrize("number", ["²", "٣", "9" * 5000, "-1", "1e3", "x", "0x10"])
def test_a_number_in_a_form_or_a_page_that_is_none_is_no_fault_of_ours(client: FlaskClient, number: str) -> None:
    assert client.get("/console/schedules/hourly", query_string={"year": number}).status_code == 200
    form = {"name": "of-a-test", "role": "viewer", "lasts": number}
    assert client.post("/console/keys", data=form).status_code == 422
    form = {"name": "x-runs", "type": "orders.created", "kind": "every", "when": "1h", "payload": "{}"}
    answer = client.post("/console/schedules/new", data=form | {"max_runs": number})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("payload", "fault"),
    [("[" * 2_000, "nested"), ('{"a": 1, "a": 2}', "/payload/a"), ('{"a": NaN}', "cannot be read"), ("{", "cannot be")],
)
def test_a_payload_in_a_form_is_read_as_strictly_as_at_the_door(client: FlaskClient, payload: str, fault: str) -> None:
    form = {"name": "odd", "type": "orders.created", "kind": "every", "when": "1h", "payload": payload}
    answer = client.post("/console/schedules/new", data=form)
    assert answer.status_code == 422
    assert "/payload" in answer.text
    assert fault in answer.text
    assert client.get("/v1/schedules/odd").status_code == 404


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//[x", "http://a]b", "[", "%", ""])
def test_an_origin_that_is_none_is_that_of_another_site(client: FlaskClient, origin: str) -> None:
    for path in ("/console/types/orders.created/pause", "/v1/types/orders.created/pause"):
        assert client.post(path, headers={"Origin": origin}).status_code == 403, path


@pytest.mark.parametrize(
    "path", ["events?state=x", "events?page=1", "dead?reason=x", "audit?cursor=x", "strays?limit=0"]
)
def test_a_page_that_is_asked_for_wrongly_says_what_is_wrong(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/console/{path}")
    assert answer.status_code == 422
    name = path.partition("?")[2].partition("=")[0]
    assert f"<code>{name}</code>" in answer.text


def test_a_source_and_a_producer_of_the_same_name_do_not_meet_in_a_key(client: FlaskClient) -> None:
    cloud = {"specversion": "1.0", "type": "orders.created", "source": "shop", "id": "7", "data": {"a": 1}}
    headers = {"Content-Type": "application/cloudevents+json"}
    first = client.post("/v1/events", json=cloud, headers=headers)
    given = {"X-Producer": "shop", "Idempotency-Key": '"7"'}
    second = client.post("/v1/events/orders.created", json={"b": 2}, headers=given)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.get_json()["id"] != second.get_json()["id"]

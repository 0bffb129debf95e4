"""What the console does as the API does it, whatever browsers, clocks and large ledgers bring."""

from __future__ import annotations

import html
import json
import re
import shlex
import types
from typing import Any, cast

import click
import flask
import pydantic
import pytest
from flask.testing import FlaskClient

from service import cli, web
from service.domain import errors
from service.domain.access import Permission, Role
from service.ledger import audit
from service.web import access, gate
from service.web.console import dead as console
from tests.entrance import Entrance
from tests.front import Front
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

HERE: dict[str, Any] = {"type": "orders.created", "plan": {"every": "1h"}, "payload": {}}


class Parcel(pydantic.BaseModel, json_schema_extra={"examples": [{"number": 7}]}):
    number: int


def failing(payload: Any, ctx: Any) -> None:
    from workers import Discard

    raise Discard("of no use")


@pytest.fixture(scope="module")
def ledger(shared_database: str) -> Ledger:
    found = Ledger(shared_database)
    found.handler("orders.created", print)
    found.handler("a.fails", failing)
    found.handler("a.busy", failing)
    found.handler("parcels.sent", print, payload=Parcel)
    return found


@pytest.fixture(scope="module")
def app(ledger: Ledger) -> flask.Flask:
    found = web.create_app(Front(ledger))
    for name in ("hourly", "other"):
        assert found.test_client().post("/v1/schedules", json=HERE | {"name": name}).status_code == 201
    return found


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()


def dead(ledger: Ledger, payload: Any = None) -> str:
    [event_id] = ledger.post("a.fails", payload)
    ledger.work()
    assert ledger.sql("select state from millrace.events where id = %s", event_id) == [("dead",)]
    return event_id


@pytest.mark.parametrize("zone", ["Etc/Unknown", "Nowhere/X", "localtime", "../../etc/passwd", "", "x" * 999, "Europe"])
def test_a_zone_that_nobody_knows_here_is_utc(client: FlaskClient, zone: str) -> None:
    client.set_cookie("millrace_zone", zone, path="/console")
    for path in ("/console", "/console/events", "/console/schedules/new"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert 'data-zone="UTC"' in answer.text


@pytest.mark.parametrize(
    ("before", "after"), [({"active": True}, {"active": 1}), ({"n": 1}, {"n": 1.0}), ({"n": [0]}, {"n": [False]})]
)
def test_a_payload_that_only_python_takes_for_the_same_is_another(
    client: FlaskClient, ledger: Ledger, before: Any, after: Any
) -> None:
    old = dead(ledger, before)
    answer = client.post(f"/console/events/{old}/replay", data={"payload": json.dumps(after)})
    new = answer.headers["Location"].rpartition("/")[2]
    assert json.dumps(client.get(f"/v1/events/{new}").get_json()["payload"]) == json.dumps(after)
    [entry] = client.get(f"/v1/audit?act=letter.replayed&target={old}").get_json()["audit"]
    assert entry["detail"]["edited"] is True


def test_a_change_names_the_very_revision_that_it_was_made_for(client: FlaskClient) -> None:
    place = "/v1/schedules/hourly"

    def edit(match: str) -> Any:
        return client.patch(place, json={"max_runs": 7}, headers={"If-Match": match})

    etag = client.get(place).headers["ETag"]
    for wrong in (f"W/{etag}", '"0", "99"', f'W/{etag}, "0"', "1", '"x"', '""', "," * 500, '"9999999999"'):
        answer = edit(wrong)
        assert (answer.status_code, answer.get_json()["type"]) == (412, "/problems/schedule-changed"), wrong
    assert edit(f'"0", {etag} , W/"7"').status_code == 200
    changed = client.get(place).headers["ETag"]
    assert changed != etag
    assert edit(changed).status_code == 200


def test_the_etag_of_an_answer_is_that_of_its_own_change(
    client: FlaskClient, app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, agenda = "/v1/schedules/other", app.extensions["millrace"].operations.agenda
    etag, find = client.get(place).headers["ETag"], agenda.find
    # Between the change and the look at what came of it, somebody else changes it.
    monkeypatch.setattr(agenda, "find", lambda name: find(name) | {"revision": find(name)["revision"] + 1})
    mine = client.patch(place, json={"max_runs": 7}, headers={"If-Match": etag}).headers["ETag"]
    monkeypatch.undo()
    assert mine == client.get(place).headers["ETag"] != etag


#: Pages that ask the ledger nothing, or only what every page shows.
WITHOUT_A_LOOK = {"/console/send", "/console/schedules/new", "/console/<kind>/<name>/pause"}


def test_every_look_at_a_slow_ledger_stands_at_the_gate(
    app: flask.Flask, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter, found = dead(ledger), []
    values = {"name": "hourly", "event_id": letter, "key_id": "0" * 12, "stray_id": letter, "kind": "types"}

    class Shut:
        def __enter__(self) -> None:
            raise errors.Overloaded(retry_after=1)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(gate, "reads", Shut)
    for rule in app.url_map.iter_rules():
        wanted = access.all_needed(app.view_functions[rule.endpoint])
        if "GET" not in (rule.methods or ()) or Permission.ASK in wanted:
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda one: values[one[1]], rule.rule)
        more = "?year=2026" if path.endswith("/year") else ""
        more = "?type=a.fails" if path.endswith(("/cancel", "/replay", "/discard")) and letter not in path else more
        more = f"?than={letter}" if path == "/console/live/events" else more
        status = app.test_client().get(path + more).status_code
        if status != 503:
            found.append((rule.rule, status))
    assert {rule for rule, _ in found} == WITHOUT_A_LOOK, found


def test_who_is_inside_a_gate_may_go_further_in() -> None:
    one = gate.Gate(1, lambda seconds: errors.Overloaded(retry_after=seconds), patience=0.0)
    for _ in range(2):
        with one, one, one:
            pass
    assert (one._inside, one._deeper) == ({}, {})


def test_a_chain_that_is_broken_everywhere_is_told_in_short(client: FlaskClient, ledger: Ledger) -> None:
    for _ in range(audit.MOST_BREAKS // 2):
        for act in ("pause", "resume"):
            client.post(f"/v1/types/orders.created/{act}")
    before = client.get("/v1/audit/verify").get_json()
    assert (before["holds"], before["more_breaks"]) == (True, 0)
    assert f"<h1>The chain holds</h1><p>{before['rows']} entries were read" in client.get("/console/audit/verify").text
    ledger.sql("update millrace.audit set actor = 'eve'")
    found = client.get("/v1/audit/verify").get_json()
    assert (found["holds"], len(found["breaks"])) == (False, audit.MOST_BREAKS)
    page = client.get("/console/audit/verify").text
    assert f"and {found['more_breaks']:,} more" in page
    assert all(one["what"] in html.unescape(page) for one in found["breaks"])
    assert found["more_breaks"] == found["rows"] - audit.MOST_BREAKS > 0


def test_a_dry_run_of_many_ends_in_time_and_what_it_counted_can_be_replayed(
    client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.application import replay

    for _ in range(5):
        dead(ledger)
    monkeypatch.setattr(replay, "BATCH", 2)
    monkeypatch.setattr(console, "LOOKED", 1e-9)
    ticks = iter([0.0, 0.0, 1.0])
    with monkeypatch.context() as patch:
        patch.setattr(replay, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
        page = client.get("/console/dead/replay?type=a.fails").text
    assert "Replay 2 dead letters" in page
    assert 'name="some"' in page
    for typed, status in (("", 409), ("99", 409), ("2", 303)):
        form = {"confirm": typed, "some": "1"}
        assert client.post("/console/dead/replay?type=a.fails", data=form).status_code == status, typed
    assert client.post("/console/dead/replay?type=a.fails", data={"confirm": "2"}).status_code == 409


@pytest.mark.parametrize("place", ["/console/dead/replay?type=a.busy", "/console/events/cancel?type=a.busy"])
def test_what_comes_while_somebody_types_hinders_nobody(client: FlaskClient, ledger: Ledger, place: str) -> None:
    more = ledger.work if "dead" in place else lambda: []
    ledger.post("a.busy", 1, 2)
    more()
    found = re.search('name="counted_at" value="([^"]+)"', client.get(place).text)
    assert found is not None
    [later] = ledger.post("a.busy", 3)
    more()
    state = client.get(f"/v1/events/{later}").get_json()["state"]
    form = {"confirm": "2", "counted_at": html.unescape(found[1])}
    assert client.post(place, data={"confirm": "2"}).status_code == 409  # By now they are three.
    assert client.post(place, data=form).status_code == 303
    now = client.get(f"/v1/events/{later}").get_json()
    assert (now["state"], now["replayed_as"]) == (state, None)
    assert client.post("/v1/cancel?type=a.busy").status_code == 200
    assert client.post("/v1/discard?type=a.busy").status_code == 200


# --- the first run --------------------------------------------------------------------------------------------------


def test_the_third_step_ticks_itself_off(client: FlaskClient, ledger: Ledger) -> None:
    ledger.sql("update millrace.types set resumed_at = null")
    assert "waiting</span> for a type to be paused" in client.get("/console/first-run").text
    for act in ("pause", "resume"):
        assert client.post(f"/v1/types/a.fails/{act}").status_code == 200
    live = client.get("/console/live/first-run").text
    assert "waiting</span> for a type to be paused" not in live
    assert "resumed</span>" in live


def test_commands_to_copy_name_the_public_address_and_the_key(ledger: Ledger) -> None:
    entrance = Entrance(ledger, public_url="https://millrace.example/")
    letter = dead(ledger)
    for path in ("/console/first-run", f"/console/events/{letter}"):
        page = entrance.as_(Role.VIEWER, "GET", path).text
        assert "https://millrace.example/v1/" in page, path
        assert "Bearer $MILLRACE_API_KEY" in page, path
        assert "http://localhost" not in page, path
    ledger.sql("truncate millrace.keys")
    assert "Bearer" not in Front(ledger).client().get("/console/first-run").text


def test_the_commands_to_copy_are_ones_that_there_are(client: FlaskClient) -> None:
    page = html.unescape(client.get("/console/first-run").text)
    found = [one for text in re.findall('data-copy="([^"]+)"', page) for one in text.split(" && ")]
    commands = [shlex.split(one)[1:] for one in found if one.startswith("millrace ")]
    assert [words[:2] for words in commands] == [["schedules", "create"], ["pause", "parcels.sent"], [
        "resume", "parcels.sent",
    ]]  # fmt: skip
    for words in commands:
        rest, command = list(words), cast(click.Command, cli.main)
        while isinstance(command, click.Group):
            command = command.commands[rest.pop(0)]
        command.make_context("millrace", rest)  # Raises UsageError.


# --- the console and the API ----------------------------------------------------------------------------------------

#: An act of the console → the one of the API that does the same.
SAME = {
    "/console/dead/discard": "POST /v1/discard",
    "/console/dead/replay": "POST /v1/replay",
    "/console/events/<event_id>/cancel": "POST /v1/events/<event_id>/cancel",
    "/console/events/<event_id>/discard": "POST /v1/events/<event_id>/discard",
    "/console/events/<event_id>/replay": "POST /v1/events/<event_id>/replay",
    "/console/events/<event_id>/reveal": "GET /v1/events/<event_id>",
    "/console/events/cancel": "POST /v1/cancel",
    "/console/keys": "POST /v1/keys",
    "/console/keys/<key_id>/revoke": "DELETE /v1/keys/<key_id>",
    "/console/keys/<key_id>/rotate": "POST /v1/keys/<key_id>/rotate",
    "/console/schedules/<name>/backfill": "POST /v1/schedules/<name>/backfill",
    "/console/schedules/<name>/delete": "DELETE /v1/schedules/<name>",
    "/console/schedules/<name>/edit": "PATCH /v1/schedules/<name>",
    "/console/schedules/<name>/pause": "POST /v1/schedules/<name>/pause",
    "/console/schedules/<name>/resume": "POST /v1/schedules/<name>/resume",
    "/console/schedules/<name>/run": "POST /v1/schedules/<name>/run",
    "/console/schedules/new": "POST /v1/schedules",
    "/console/schedules/preview": "POST /v1/schedules/preview",
    "/console/send": "POST /v1/events/<name>",
    "/console/strays/<stray_id>/discard": "DELETE /v1/strays/<stray_id>",
    "/console/strays/<stray_id>/reveal": "GET /v1/strays/<stray_id>",
    "/console/users": "POST /v1/users",
    "/console/users/<name>/disable": "POST /v1/users/<name>/disable",
    "/console/users/<name>/enable": "POST /v1/users/<name>/enable",
    "/console/users/<name>/password": "PUT /v1/users/<name>/password",
    "/console/users/<name>/remove": "DELETE /v1/users/<name>",
    "/console/users/<name>/role": "PUT /v1/users/<name>/role",
    "/console/users/sessions/end": "DELETE /v1/users/<name>/sessions",
    "/console/<kind>/<name>/pause": "POST /v1/types/<name>/pause",
    "/console/<kind>/<name>/resume": "POST /v1/types/<name>/resume",
}


#: A page of the console → where the API shows the same.
SHOWN = {
    "/console": "GET /v1/overview",
    "/console/audit": "GET /v1/audit",
    "/console/audit/verify": "GET /v1/audit/verify",
    "/console/dead": "GET /v1/dead/groups",
    "/console/events": "GET /v1/events",
    "/console/events/<event_id>": "GET /v1/events/<event_id>",
    "/console/keys": "GET /v1/keys",
    "/console/schedules": "GET /v1/schedules",
    "/console/schedules/<name>": "GET /v1/schedules/<name>",
    "/console/strays": "GET /v1/strays",
    "/console/strays/<stray_id>": "GET /v1/strays/<stray_id>",
    "/console/types": "GET /v1/overview",
    "/console/users": "GET /v1/users",
    "/console/users/<name>": "GET /v1/users",
    "/console/workers": "GET /v1/processes",
}
#: Pages without figures.
PLAIN = {"/console/first-run", "/console/send", "/console/static/<path:name>", "/console/<path:rest>"}


def test_every_page_of_the_console_is_in_the_api_for_the_same_people(app: flask.Flask) -> None:
    needed = {
        rule.rule: access.all_needed(app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
    }
    # A form is no page: what it does is an act.
    signing = ("/sign-in", "/sign-in/company", "/sign-in/return", "/sign-out")
    forms = {"/console/schedules/new", *(f"/console{path}" for path in signing)}
    forms |= {*SAME} - {"/console/keys", "/console/send", "/console/users"}
    pages = {one for one in needed if one.startswith("/console") and not one.startswith("/console/live/")}
    assert pages - forms - PLAIN == set(SHOWN)
    for page, same in SHOWN.items():
        assert set(needed[page]) <= set(needed[same.removeprefix("GET ")]), page


def test_every_act_of_the_console_is_one_of_the_api_for_the_same_people(app: flask.Flask) -> None:
    needed = {
        f"{method} {rule.rule}": access.all_needed(app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    acts = {one.removeprefix("POST ") for one in needed if one.startswith("POST /console/")}
    own = {"/console/sign-in", "/console/sign-out"}
    assert acts - own == set(SAME)
    for act, same in SAME.items():
        wanted = needed[f"POST {act}"]
        assert same in needed, act
        # Who is shown what is masked says why; the API's view looks at that itself.
        assert set(wanted) <= set(needed[same]) or act.endswith("/reveal"), act

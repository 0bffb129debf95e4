"""Dead letters that nobody wants any more, and why things are done: over HTTP and in the console."""

from __future__ import annotations

import concurrent.futures
import html
import re
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.ledger import engine as engines
from service.ledger import watching
from tests.front import Front
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

NOBODY = "00000000-0000-7000-8000-000000000000"


def fail(payload: Any, ctx: Any) -> None:
    raise RuntimeError("no")


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    ledger.handler("a.fails", fail, attempts=1)
    ledger.handler("a.other", fail, attempts=1)
    yield ledger
    ledger.check()  # Whatever the operator did.


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    client = Front(ledger).client()
    client.environ_base["HTTP_X_PRODUCER"] = "ada"
    return client


def document(answer: TestResponse, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.get_json()


def dead(ledger: Ledger, type_name: str, number: int = 1) -> list[str]:
    found = ledger.post(type_name, *range(number))
    while ledger.tickets():  # A ticket that takes long is cut.
        ledger.work()
    assert ledger.sql("select count(*) from millrace.dead where event_id = any(%s::uuid[])", found) == [(number,)]
    return sorted(found)


def listed(client: FlaskClient, query: str = "") -> list[str]:
    return sorted(letter["id"] for letter in document(client.get(f"/v1/dead{query}"))["dead"])


def log(ledger: Ledger) -> list[tuple[Any, ...]]:
    return ledger.sql("select act, target, actor, detail->>'because' from millrace.audit order by n")


def test_a_discarded_letter_leaves_the_list_and_its_event_can_be_read(ledger: Ledger, client: FlaskClient) -> None:
    gone, left = dead(ledger, "a.fails", 2)
    before = document(client.get(f"/v1/events/{gone}"))
    found = document(client.post(f"/v1/events/{gone}/discard?because=test+data,+OPS-7"))
    assert (found["id"], found["state"], found["discarded"]) == (gone, "dead", True)
    assert listed(client) == [left]
    [letter] = document(client.get("/v1/dead?discarded=true"))["dead"]
    assert (letter["id"], letter["discarded_by"], letter["discarded_because"]) == (gone, "ada", "test data, OPS-7")
    after = document(client.get(f"/v1/events/{gone}"))
    assert after.pop("discarded_at") == letter["discarded_at"]
    assert before.pop("discarded_at") is None
    assert after == before
    assert gone in [event["id"] for event in document(client.get("/v1/events?state=dead"))["events"]]
    explained = document(client.get(f"/v1/events/{gone}/explain"))
    assert re.search(r"It was discarded at \S+ \S+ UTC by ada: test data, OPS-7\.$", explained["sentence"])
    assert explained["facts"]["discarded"]["by"] == "ada"
    assert log(ledger) == [("letter.discarded", gone, "ada", "test data, OPS-7")]
    # Nobody counts it any more: not the console, and not the metric that alerts look at.
    assert "1 open, in 1 group" in client.get("/console/dead").text
    assert watching.LedgerWatch(engines.Engine(ledger.url)).read_letters().unreplayed == {"attempts": 1}


def test_a_letter_is_discarded_once_and_only_where_nothing_came_of_it(ledger: Ledger, client: FlaskClient) -> None:
    gone, replayed = dead(ledger, "a.fails", 2)
    [pending] = ledger.post("a.fails", 1)
    document(client.post(f"/v1/events/{gone}/discard"))
    again = document(client.post(f"/v1/events/{gone}/discard"), 409)
    assert (again["type"], again["discarded_by"]) == ("/problems/already-discarded", "ada")
    new = document(client.post(f"/v1/events/{replayed}/replay"), 202)["id"]
    assert document(client.post(f"/v1/events/{replayed}/discard"), 409)["replayed_as"] == new
    assert document(client.post(f"/v1/events/{pending}/discard"), 409)["type"] == "/problems/not-dead"
    document(client.post(f"/v1/events/{NOBODY}/discard"), 404)
    document(client.post("/v1/events/none/discard"), 404)


def test_what_was_discarded_by_mistake_is_replayed_by_its_id_and_by_no_filter(
    ledger: Ledger, client: FlaskClient
) -> None:
    [letter] = dead(ledger, "a.fails")
    document(client.post(f"/v1/events/{letter}/discard"))
    assert document(client.post("/v1/replay?type=a.fails"))["replayed"] == 0
    assert document(client.post(f"/v1/events/{letter}/replay?because=a+mistake"), 202)["replay_of"] == letter
    assert log(ledger)[-1] == ("letter.replayed", letter, "ada", "a mistake")


def test_those_that_a_filter_finds_are_counted_and_then_discarded(ledger: Ledger, client: FlaskClient) -> None:
    many, [other] = dead(ledger, "a.fails", 5), dead(ledger, "a.other")
    assert document(client.post("/v1/discard"), 422)["errors"][0]["parameter"] == "type"
    assert document(client.post("/v1/discard?all=true&type=a.fails"), 422)["errors"][0]["parameter"] == "all"
    dry = document(client.post("/v1/discard?type=a.fails&dry_run=true"))
    assert (dry["dry_run"], dry["count"], dry["types"]) == (True, 5, {"a.fails": 5})
    assert len(listed(client)) == 6
    some = document(client.post("/v1/discard?type=a.fails&limit=2&because=x"))
    assert (some["discarded"], some["left"], some["types"]) == (2, 3, {"a.fails": 2})
    assert listed(client, "?discarded=true") == many[:2]  # The oldest first.
    assert document(client.post("/v1/discard?type=a.fails&reason=attempts"))["discarded"] == 3
    assert document(client.post("/v1/discard?type=a.fails"))["discarded"] == 0
    assert listed(client) == [other]
    assert [entry[:1] + entry[3:] for entry in log(ledger)] == [("letters.discarded", "x"), ("letters.discarded", None)]


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_all_of_them_are_meant_only_when_that_is_said(ledger: Ledger, client: FlaskClient, act: str) -> None:
    dead(ledger, "a.fails", 2)
    dead(ledger, "a.other", 3)
    for query in ("", "?all=false", "?dry_run=1"):
        wrong = document(client.post(f"/v1/{act}{query}"), 422)
        assert "all=true" in wrong["errors"][0]["detail"]
    number = "replayed" if act == "replay" else "count"
    assert document(client.post(f"/v1/{act}?all=true&dry_run=1"))[number] == 5
    assert len(listed(client, "?replayed=false")) == 5
    done = client.post(f"/v1/{act}?all=true&limit=4").get_json()
    assert (done[f"{act}ed"], done["left"]) == (4, 1)


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_the_console_acts_on_all_when_their_number_is_typed(ledger: Ledger, client: FlaskClient, act: str) -> None:
    dead(ledger, "a.fails", 2)
    dead(ledger, "a.other", 1)
    assert client.post(f"/console/dead/{act}", data={"confirm": "3"}).status_code == 422
    assert f"/console/dead/{act}?all=1" in client.get("/console/dead").text
    asked = client.get(f"/console/dead/{act}?all=1").text
    assert "every one that is open" in asked
    place = html.unescape(re.findall(r'action="([^"]+)"', asked)[-1])
    assert client.post(place, data={"confirm": "2"}).status_code == 409
    assert len(listed(client, "?replayed=false")) == 3
    done = client.post(place, data={"confirm": "3"})
    assert (done.status_code, done.headers["Location"]) == (303, "/console/dead")  # With what has died since.
    assert listed(client, "?replayed=false") == []


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_nothing_selected_is_not_all_of_them(ledger: Ledger, client: FlaskClient, act: str) -> None:
    dead(ledger, "a.fails", 2)
    shown = client.get("/console/dead").text
    [form] = [one for one in re.findall(r"<form.*?</form>", shown, re.DOTALL) if "Replay the selected" in one]
    assert 'name="all"' not in form
    assert "None is selected" in form
    assert client.get(f"/console/dead/{act}").status_code == 422


def test_a_time_is_a_filter_which_the_console_shows_and_drops(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails")
    for query in ("until=2999-01-01T00:00:00Z", "since=2020-01-01T00:00:00Z", "within=hour"):
        shown = client.get(f"/console/dead?{query}").text
        assert "Drop the filter" in shown, query
        assert "All dead letters" not in shown
    assert "Nothing matches" in client.get("/console/dead?until=2020-01-01T00:00:00Z").text
    assert "Drop the filter" not in client.get("/console/dead").text


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_a_dry_run_says_when_it_counted_so_that_just_these_can_be_meant(
    ledger: Ledger, client: FlaskClient, act: str
) -> None:
    first = dead(ledger, "a.fails", 2)
    counted_at = document(client.post(f"/v1/{act}?all=1&dry_run=1"))["counted_at"]
    [later] = dead(ledger, "a.fails")
    document(client.post(f"/v1/events/{first[0]}/discard"))  # Its place is free.
    done = client.post(f"/v1/{act}", query_string={"until": counted_at, "limit": 2}).get_json()
    assert (done[f"{act}ed"], "counted_at" in done) == (1, False)
    assert listed(client, "?replayed=false") == [later]
    past = {"until": "2020-01-01T00:00:00Z", "dry_run": True}
    assert not document(client.post(f"/v1/{act}", query_string=past))["replayed" if act == "replay" else "count"]


def test_a_letter_that_another_operator_has_in_hand_is_left_to_them(ledger: Ledger, client: FlaskClient) -> None:
    first, second = dead(ledger, "a.fails", 2)
    connection = psycopg2.connect(ledger.url)
    connection.cursor().execute("select from millrace.dead where event_id = %s for no key update", (first,))
    found = document(client.post("/v1/discard?type=a.fails"))
    assert (found["discarded"], found["left"]) == (1, 1)
    connection.close()
    assert (listed(client), listed(client, "?discarded=true")) == ([first], [second])


@pytest.mark.usefixtures("patience_for_locks")
def test_of_many_who_discard_and_replay_at_once_each_letter_has_one_fate(ledger: Ledger, client: FlaskClient) -> None:
    letters = dead(ledger, "a.fails", 40)

    def act(number: int) -> int:
        path = "/v1/replay?type=a.fails" if number % 2 else "/v1/discard?type=a.fails"
        return client.application.test_client().post(path).status_code

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(act, range(4))) <= {200, 202}
    fates = "select count(*) filter (where replayed_as is null), count(*) filter (where discarded_at is null)"
    [(discarded, replayed)] = ledger.sql(f"{fates} from millrace.dead")
    assert discarded + replayed == len(letters)


# --- why ------------------------------------------------------------------------------------------------------------


def test_why_something_is_paused_stands_wherever_it_is_shown(ledger: Ledger, client: FlaskClient) -> None:
    document(client.post("/v1/types/a.fails/pause?because=the+gateway+is+down"))
    document(client.post("/v1/queues/events/pause?because=OPS-7"))
    [queue, type_] = document(client.get("/v1/pauses"))["pauses"]
    assert (queue["because"], type_["because"]) == ("OPS-7", "the gateway is down")
    again = document(client.post("/v1/types/a.fails/pause?because=another"))
    assert again["because"] == "the gateway is down"  # Who came first.
    assert document(client.get("/v1/types"))["types"][0]["pauses"][0]["because"] == "OPS-7"
    assert document(client.get("/v1/queues"))["queues"][0]["paused_because"] == "OPS-7"
    [event_id] = ledger.post("a.fails", 1)
    explained = document(client.get(f"/v1/events/{event_id}/explain"))
    assert explained["sentence"].endswith("by ada: the gateway is down.")
    assert explained["facts"]["queue_paused"]["because"] == "OPS-7"
    for path in ("/console", "/console/types", f"/console/events/{event_id}"):
        assert "the gateway is down" in client.get(path).text, path
    assert log(ledger)[0] == ("type.paused", "a.fails", "ada", "the gateway is down")
    document(client.post("/v1/types/a.fails/resume?because=it+is+back"))
    assert log(ledger)[-1] == ("type.resumed", "a.fails", "ada", "it is back")
    document(client.post("/v1/types/a.fails/pause"))
    assert [p["because"] for p in document(client.get("/v1/pauses"))["pauses"]] == ["OPS-7", None]


def test_every_act_may_say_why_in_its_audit_entry(ledger: Ledger, client: FlaskClient) -> None:
    [event_id] = ledger.post("a.fails", 1)
    document(client.post(f"/v1/events/{event_id}/cancel?because=one"))
    ledger.post("a.fails", 1)
    document(client.post("/v1/cancel?type=a.fails&because=two"))
    plan = {"name": "s", "type": "a.fails", "plan": {"every": "1h"}}
    document(client.post("/v1/schedules", json=plan), 201)
    assert document(client.post("/v1/schedules/s/pause?because=three"))["paused_because"] == "three"
    assert "three" in client.get("/console/schedules").text
    assert document(client.post("/v1/schedules/s/resume"))["paused_because"] is None
    assert client.delete("/v1/schedules/s?because=four").status_code == 204
    found = {act: because for act, _, _, because in log(ledger)}
    assert found == {
        "event.cancelled": "one", "events.cancelled": "two", "schedule.created": None, "schedule.paused": "three",
        "schedule.resumed": None, "schedule.deleted": "four",
    }  # fmt: skip


@pytest.mark.parametrize("because", ["", "x" * 301, "a%0Ab"])
def test_a_reason_that_is_none_is_refused_and_nothing_is_done(
    ledger: Ledger, client: FlaskClient, because: str
) -> None:
    problem = document(client.post(f"/v1/types/a.fails/pause?because={because}"), 422)
    assert problem["errors"][0]["parameter"] == "because"
    assert "becuase" in document(client.post("/v1/types/a.fails/pause?becuase=x"), 422)["errors"][0]["parameter"]
    assert document(client.get("/v1/pauses"))["pauses"] == []


# --- in the console -------------------------------------------------------------------------------------------------


def test_many_are_discarded_when_their_number_is_typed(ledger: Ledger, client: FlaskClient) -> None:
    letters = dead(ledger, "a.fails", 3)
    shown = client.get("/console/dead/discard?type=a.fails").text
    assert "Discard 3 dead letters" in shown
    assert client.post("/console/dead/discard?type=a.fails", data={"confirm": "2"}).status_code == 409
    assert client.post("/console/dead/discard", data={"confirm": "3"}).status_code == 422  # Not all there are.
    assert listed(client) == letters
    done = client.post("/console/dead/discard?type=a.fails", data={"confirm": "3", "because": "test data"})
    assert done.status_code == 303
    assert listed(client) == []
    assert log(ledger) == [("letters.discarded", None, "ada", "test data")]
    shown = client.get("/console/dead?show=discarded").text
    assert shown.count("discarded by ada: test data") == 3
    assert "No dead letter is open" in client.get("/console/dead").text


def test_those_that_die_meanwhile_are_not_discarded_and_hinder_nobody(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", 2)
    found = re.search('name="counted_at" value="([^"]+)"', client.get("/console/dead/discard?type=a.fails").text)
    assert found is not None
    [later] = dead(ledger, "a.fails", 1)
    form = {"confirm": "2", "counted_at": html.unescape(found[1])}
    assert client.post("/console/dead/discard?type=a.fails", data=form).status_code == 303
    assert listed(client) == [later]
    assert client.post("/console/dead/discard?type=a.fails", data=form).status_code == 409  # They are gone.
    for made_up in ("", "tomorrow", "9999-12-31T00:00:00+00:00", "2026-01-01T00:00:00"):  # As if there were none.
        answer = client.post("/console/dead/discard?type=a.fails", data={"confirm": "2", "counted_at": made_up})
        assert answer.status_code == 409, made_up
    assert listed(client) == [later]


def test_those_that_were_picked_are_discarded_and_the_others_told(ledger: Ledger, client: FlaskClient) -> None:
    first, second, third = dead(ledger, "a.fails", 3)
    document(client.post(f"/v1/events/{first}/discard"))
    assert "Discard 2 dead letters" in client.get(f"/console/dead/discard?id={first}&id={second}").text
    answer = client.post("/console/dead/discard", data={"id": [first, second]})
    assert answer.status_code == 409  # Their number was not typed.
    answer = client.post("/console/dead/discard", data={"id": [first, second], "confirm": "2"})
    assert answer.status_code == 303
    told = client.get("/console/dead").text
    assert "1 dead letter discarded; 1 one was left alone" in told
    assert listed(client) == [third]


def test_one_is_discarded_from_its_page(ledger: Ledger, client: FlaskClient) -> None:
    [letter] = dead(ledger, "a.fails")
    place = f"/console/events/{letter}"
    assert f'href="{place}/discard"' in client.get(place).text
    assert "Discard this dead letter?" in client.get(f"{place}/discard").text
    assert client.post(f"{place}/discard", data={"because": "seen"}).status_code == 303
    page = client.get(place).text
    assert f'href="{place}/discard"' not in page
    assert "Discarded: nothing more was to come of it" in page


def test_a_pause_asks_why(ledger: Ledger, client: FlaskClient) -> None:
    for kind, name in (("types", "a.fails"), ("queues", "events")):
        place = f"/console/{kind}/{name}/pause"
        assert 'name="because"' in client.get(place).text
        assert client.post(place, data={"because": f"{kind} wait"}).status_code == 303
        assert f"{kind} wait" in client.get("/console/types").text
        assert client.post(f"/console/{kind}/{name}/resume").status_code == 303
    assert document(client.get("/v1/pauses"))["pauses"] == []
    assert client.get("/console/nothing/a.fails/pause").status_code == 404
    assert client.post("/console/nothing/a.fails/pause").status_code == 404

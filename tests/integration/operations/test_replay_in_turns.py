"""A replay in turns: all of them together keep the rate, and none replays more than was meant."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.answers import document, problem
from tests.integration.operations.desk import dead
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

DUE = "select round(extract(epoch from due_at - min(due_at) over ()))::int from millrace.tickets order by 1"


def test_turns_keep_the_rate_together(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", *range(9))
    found = {"next_at": None}
    for _ in range(3):
        turn = {"all": True, "limit": 3, "rate": 0.05} | ({"starts_at": found["next_at"]} if found["next_at"] else {})
        found = document(client.post("/v1/replay", query_string=turn), 202)
    assert ledger.sql(DUE) == [(20 * n,) for n in range(9)]
    ledger.check()
    nothing = document(client.post("/v1/replay", query_string={"all": True, "starts_at": "2999-12-31T23:59:59Z"}))
    assert (nothing["replayed"], nothing["next_at"]) == (0, None)


def test_a_turn_that_its_limit_has_cut_short_is_not_complete(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", *range(3))
    for more in ({"dry_run": True}, {}):
        found = document(
            client.post("/v1/replay", query_string={"all": True, "limit": 2, **more}), 200 if more else 202
        )
        assert (found["replayed"], found["left"], found["complete"]) == (2, 1, False)
    found = document(client.post("/v1/replay?all=1&limit=1"), 202)
    assert (found["replayed"], found["left"], found["complete"]) == (1, 0, True)


def test_a_turn_that_comes_late_does_not_hurry(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", *range(3))
    document(client.post("/v1/replay?all=1&rate=1&starts_at=0001-01-01T00:00:00Z"), 202)
    assert ledger.sql(DUE) == [(0,), (1,), (2,)]
    wrong = problem(client.post("/v1/replay?all=1&starts_at=3000-01-01T00:00:00Z"), 422)
    assert [e["parameter"] for e in wrong["errors"]] == ["starts_at"]
    problem(client.post("/v1/replay?all=1&starts_at=soon"), 422)


def test_a_turn_of_the_console_that_is_sent_twice_replays_no_more_than_was_confirmed(
    ledger: Ledger, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.application.replay.BATCH", 1)
    monkeypatch.setattr("service.web.console.dead.SECONDS", 0.0001)  # One letter a turn.
    monkeypatch.setattr("service.web.console.dead.RATES", (0.05, 10.0))  # No turn comes late.
    dead(ledger, "a.fails", *range(4))
    place, form = "/console/dead/replay?type=a.fails", {"confirm": "4", "rate": "0.05"}
    pages = []
    for _ in range(2):
        page = client.post(place, data=form)
        assert (page.status_code, "Replaying 4 dead letters" in page.text) == (200, True)
        pages.append((place, form))
        [place] = re.findall(r'action="(/console/dead/replay[^"]*)"', page.text)
        place = place.replace("&amp;", "&")
        form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    assert ledger.sql(DUE) == [(0,), (20,)]
    dead(ledger, "a.fails", *range(10, 14))  # These nobody has counted.
    for _ in range(6):  # The second page is loaded again and again.
        client.post(pages[1][0], data=pages[1][1])
    assert len(ledger.sql("select 1 from millrace.dead where replayed_as is not null")) == 4
    done = client.post(place, data=form)
    assert (done.status_code, done.headers["Location"]) == (303, "/console/dead?type=a.fails")
    assert len(ledger.sql("select 1 from millrace.dead where replayed_as is not null")) == 4
    ledger.check()

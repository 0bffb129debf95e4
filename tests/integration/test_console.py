"""The console where access is on: who sees what, and no form without its token."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from service.application.users import Users
from service.domain.access import Role
from service.ledger import queries
from tests.entrance import PASSWORD, Entrance
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    ledger.handler("orders.created", lambda payload, ctx: None)
    ledger.post("orders.created", {"order": 7, "phone": "+49 170 1234567"})
    return ledger


@pytest.fixture
def entrance(ledger: Ledger) -> Entrance:
    return Entrance(ledger)


def signed_in(entrance: Entrance, role: Role) -> FlaskClient:
    """A browser of somebody with this role."""
    Users(entrance.operations.user_ledger).add(f"one-{role}", role.value, PASSWORD, by="test")
    client = entrance.app.test_client()
    answer = client.post("/console/sign-in", data={"user": f"one-{role}", "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


def test_who_is_not_signed_in_is_led_to_the_door_and_back(entrance: Entrance) -> None:
    answer = entrance.app.test_client().get("/console/events?type=orders.created")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/console/sign-in?next=%2Fconsole%2Fevents")
    live = entrance.app.test_client().get("/console/live/overview", headers={"HX-Request": "true"})
    assert (live.status_code, live.headers["HX-Redirect"]) == (401, "/console/sign-in")


def test_a_form_without_its_token_does_nothing(entrance: Entrance) -> None:
    client = signed_in(entrance, Role.OPERATOR)
    place = "/console/types/orders.created/pause"
    assert client.post(place).status_code == 403
    assert entrance.queries.pauses() == []
    found = TOKEN.search(client.get(place).text)
    assert found is not None
    answer = client.post(place, data={"csrf": found[1]})
    assert answer.status_code == 303, answer.text
    [pause] = entrance.queries.pauses()
    assert pause["by"] == "one-operator"


def test_a_viewer_is_offered_nothing_that_they_may_not_do(entrance: Entrance) -> None:
    client = signed_in(entrance, Role.VIEWER)
    event_id = entrance.queries.search(queries.Filters(), limit=1)[0]["id"]
    for path in (
        "/console",
        "/console/events",
        "/console/types",
        "/console/schedules",
        "/console/dead",
        f"/console/events/{event_id}",
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        main = page.text[page.text.index("<main") :]
        assert '<form class="act"' not in main, path
        assert "/console/send" not in main, path
        assert "data-dialog" not in main, path
        assert "/console/keys" not in page.text, path
    assert "1234567" not in client.get(f"/console/events/{event_id}").text
    assert client.get("/console/keys").status_code == 403
    assert "does not grant" in client.get("/console/keys").text


def test_an_admin_sees_keys_and_the_log_of_who_did_what(entrance: Entrance) -> None:
    client = signed_in(entrance, Role.ADMIN)
    assert "producer" in client.get("/console/keys").text
    assert "one-admin" in client.get("/console/audit").text

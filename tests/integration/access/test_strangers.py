"""What strangers, neighbours and other sites get at, and what people see who may not see all of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic
import pytest
from flask.testing import FlaskClient

from service.application import users
from service.application.users import Users
from service.domain import errors
from service.domain.access import Role
from service.ledger.strays import StrayLedger
from service.web import whence
from tests import issuer as issuers
from tests.entrance import PASSWORD, Entrance
from tests.front import Front
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

SEARCH = "type=orders.created&since=2026-01-01T00:00:00Z&text=%22card_number%22%3A+%224111"
PUBLIC = "https://millrace.example"


def signed_in(entrance: Entrance, role: Role, **more: Any) -> FlaskClient:
    """A browser of somebody with this role."""
    entrance.operations.users.add(f"one-{role}", role.value, PASSWORD, by="test")
    client = entrance.app.test_client()
    answer = client.post("/console/sign-in", data={"user": f"one-{role}", "password": PASSWORD}, **more)
    assert answer.status_code == 303, answer.text
    return client


def csrf(client: FlaskClient) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/console/sign-out").text)
    assert found is not None
    return found[1]


def test_the_console_searches_in_payloads_for_those_only_who_may_see_them(entrance: Entrance) -> None:
    viewer, operator = (signed_in(entrance, role) for role in (Role.VIEWER, Role.OPERATOR))
    than = "00000000-0000-7000-8000-000000000000"
    for place in (f"/console/events?{SEARCH}", f"/console/live/events?than={than}&{SEARCH}"):
        assert (viewer.get(place).status_code, operator.get(place).status_code) == (403, 200), place
    assert 'name="text"' not in viewer.get("/console/events").text
    assert 'name="text"' in operator.get("/console/events").text


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//[x", "[", ""])
def test_an_origin_that_is_none_signs_nobody_in_and_changes_nothing(entrance: Entrance, origin: str) -> None:
    client, headers = signed_in(entrance, Role.OPERATOR), {"Origin": origin}
    form = {"user": "one-operator", "password": PASSWORD}
    assert entrance.app.test_client().post("/console/sign-in", data=form, headers=headers).status_code == 403
    given = headers | {"X-CSRF-Token": csrf(client)}
    assert client.post("/v1/types/other/pause", headers=given).status_code == 403
    for host in ("[", "[::1", "a]b"):
        assert entrance.app.test_client().get("/console/sign-in", headers={"Host": host}).status_code < 500


HOSTS = {
    "localhost": 200, "localhost:5000": 200, "127.0.0.1:5000": 200, "[::1]:5000": 200, "": 403, "evil.example": 403,
    "evil.example:5000": 403, "localhost.evil.example": 403, "127.0.0.1.nip.io": 403, "[": 403, "203.0.113.7": 403,
}  # fmt: skip


def test_while_access_is_off_no_other_name_leads_here(ledger: Ledger) -> None:
    client = Front(ledger).client()
    for host, status in HOSTS.items():
        for path in ("/v1/events", "/console", "/openapi.json"):
            assert client.get(path, headers={"Host": host}).status_code == status, (host, path)
        assert whence.is_here(host, "") == (status == 200), host
    behind = Front(ledger, public_url=PUBLIC).client()
    assert behind.get("/v1/events", headers={"Host": "millrace.example"}).status_code == 200
    assert behind.get("/v1/events", headers={"Host": "evil.example"}).status_code == 403
    told = client.get("/v1/events", headers={"Host": "evil.example"}).get_json()["detail"]
    assert "MILLRACE_PUBLIC_URL" in told


def test_while_access_is_off_the_pages_of_the_public_address_may_act(ledger: Ledger) -> None:
    behind = Front(ledger, public_url=PUBLIC).client()
    for path in ("/v1/types/other/pause", "/console/types/other/resume"):
        for origin, status in {PUBLIC: {200, 303}, "https://evil.example": {403}, "null": {403}}.items():
            headers = {"Host": "millrace.example", "Origin": origin}
            assert behind.post(path, headers=headers).status_code in status, (path, origin)


@pytest.mark.parametrize(
    ("host", "origin", "public", "good"),
    [
        ("localhost:5000", "https://m.example", "https://m.example:443", True),
        ("localhost:5000", "https://m.example", "https://M.Example", True),
        ("m.example:443", "https://m.example", "https://m.example", True),
        ("localhost:80", "http://localhost", "", True),
        ("LOCALHOST:5000", "http://localhost:5000", "", True),
        ("[::1]:80", "http://[::1]", "", True),
        ("localhost:5000", "http://localhost", "", False),
        ("localhost", "http://localhost:443", "", False),
        ("localhost:443", "http://localhost", "", False),
        ("localhost", "http://localhost:8080", "https://m.example", False),
    ],
)
def test_an_origin_is_compared_as_browsers_write_it(
    ledger: Ledger, host: str, origin: str, public: str, good: bool
) -> None:
    client = Front(ledger, public_url=public).client()
    answer = client.post("/v1/types/other/pause", headers={"Host": host, "Origin": origin})
    assert answer.status_code == (200 if good else 403), answer.text


def test_behind_a_proxy_that_asks_by_another_host_forms_work(ledger: Ledger) -> None:
    entrance = Entrance(ledger, public_url=PUBLIC)
    inside = {"base_url": "https://inside:5000"}
    client = signed_in(entrance, Role.OPERATOR, headers={"Origin": PUBLIC}, **inside)
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/console/sign-out", **inside).text)
    assert found
    for origin, status in {PUBLIC: 303, "https://evil.example": 403}.items():
        given = {"headers": {"Origin": origin}, "data": {"csrf": found[1]}, **inside}
        assert client.post("/console/types/other/pause", **given).status_code == status, origin


def test_no_link_on_another_page_has_somebody_reveal_what_is_masked(entrance: Entrance, ledger: Ledger) -> None:
    operator = signed_in(entrance, Role.OPERATOR)
    [event_id] = ledger.post("other", {"card": "4111"})
    place = f"/v1/events/{event_id}?reveal=as+the+link+says"
    for site in ("cross-site", "same-site"):
        assert operator.get(place, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert entrance.log(act="payload.revealed") == []
    assert operator.get(place, headers={"Sec-Fetch-Site": "none"}).get_json()["payload"] == {"card": "4111"}
    assert [entry["actor"] for entry in entrance.log(act="payload.revealed")] == ["one-operator"]


def test_the_lane_looks_at_the_host_too(ledger: Ledger) -> None:
    keeper = Front(ledger).client().application.extensions["millrace.guard"]
    assert keeper.glance({"HTTP_HOST": "localhost:5000"}, "other")
    assert not keeper.glance({"HTTP_HOST": "evil.example:5000"}, "other")


def test_pages_for_signing_in_are_counted_by_address(ledger: Ledger, issuer: issuers.Issuer) -> None:
    more = {"oidc_issuer": issuer.url, "oidc_client_id": issuers.CLIENT, "public_url": "http://localhost"}
    for path in ("/console/sign-in", "/console/sign-in/company", "/console/sign-in/return?code=x", "/console/sign-out"):
        entrance = Entrance(ledger, rate_address=1.0, **more)
        client = entrance.app.test_client()
        client.set_cookie("millrace", "A" * 43)
        statuses = [client.get(path).status_code for _ in range(4)]
        assert (429 not in statuses[:2], statuses[2:]) == (True, [429, 429]), path
        assert entrance.as_(Role.VIEWER, "GET", "/v1/types").status_code == 200
        ledger.sql("delete from millrace.keys")
    assert issuer.asked["/realm/token"] == 0


def test_a_token_of_somebody_without_a_role_counts_as_a_guess(ledger: Ledger, issuer: issuers.Issuer) -> None:
    entrance = Entrance(ledger, rate_address=1.0, oidc_issuer=issuer.url, oidc_audience=(issuers.AUDIENCE,))
    token = issuer.token(roles=["guest"])
    assert [entrance.ask("GET", "/v1/events", token).status_code for _ in range(4)] == [403, 403, 429, 429]


def test_a_network_of_ipv6_is_one_who_asks(ledger: Ledger) -> None:
    entrance = Entrance(ledger, rate_address=1.0)

    def guess(address: str) -> int:
        return int(entrance.ask("GET", "/v1/types", "no", environ_base={"REMOTE_ADDR": address}).status_code)

    assert [guess(f"2001:db8:1:2:{n}::1") for n in range(4)] == [401, 401, 429, 429]
    assert guess("2001:db8:1:3::1") == 401
    assert [whence.network(a) for a in ("10.0.0.1", "::ffff:10.0.0.1", "::1", "unix", "")] == [
        "10.0.0.1", "10.0.0.1", "::/64", "unix", "",
    ]  # fmt: skip


# --- signing in -----------------------------------------------------------------------------------------------------


def test_strangers_do_not_lock_a_user_out_where_the_user_has_been(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "TRIES_OF_ALL", 7.0)
    people = Users(entrance.operations.user_ledger)
    people.add("ada", "viewer", PASSWORD, by="test")
    assert people.sign_in("ada", PASSWORD, "home").role is Role.VIEWER

    def come(address: str, password: str = "wrong password!", user: str = "ada") -> str:
        try:
            return people.sign_in(user, password, address).role.value
        except errors.MillraceError as error:
            return type(error).__name__

    assert [come("a") for _ in range(6)] == ["BadCredential"] * 5 + ["TooManyRequests"]
    assert come("elsewhere", PASSWORD) == "viewer", "one address locks out nobody but itself"
    assert [come(f"b{n}") for n in range(3)] == ["BadCredential"] * 2 + ["TooManyRequests"]
    assert come("nowhere", PASSWORD) == "TooManyRequests", "many do, where the user has never been"
    assert come("home", PASSWORD) == "viewer"


def test_an_own_account_pays_for_no_guesses_of_others(entrance: Entrance) -> None:
    people = entrance.operations.users
    for name in ("ada", "eve"):
        people.add(name, "viewer", PASSWORD, by="test")
    found = []
    for number in range(6):
        with pytest.raises(errors.MillraceError) as raised:
            people.sign_in(f"ada{number}", "wrong password!", "evil")
        found.append(type(raised.value))
        if number < 4:
            people.sign_in("eve", PASSWORD, "evil")
    assert found == [errors.BadCredential] * 5 + [errors.TooManyRequests]


def test_an_admin_signs_people_of_the_company_out(ledger: Ledger, issuer: issuers.Issuer) -> None:
    entrance = Entrance(ledger, oidc_issuer=issuer.url, oidc_client_id=issuers.CLIENT, public_url="http://localhost")
    client = entrance.app.test_client()
    back = issuer.sign_in(client.get("/console/sign-in/company").headers["Location"])
    assert client.get(back.removeprefix("http://localhost")).status_code == 303
    assert client.get("/v1/events").status_code == 200
    [session] = entrance.as_(Role.ADMIN, "GET", "/v1/users/sessions").get_json()["sessions"]
    assert (session["name"], session["local"]) == ("oidc:ada", False)
    assert entrance.as_(Role.OPERATOR, "DELETE", "/v1/users/oidc:ada/sessions").status_code == 403
    ended = entrance.as_(Role.ADMIN, "DELETE", "/v1/users/oidc:ada/sessions?because=she+left")
    assert ended.get_json() == {"name": "oidc:ada", "ended": 1}
    assert client.get("/v1/events").status_code == 401
    [entry] = entrance.log(act="sessions.ended")
    assert (entry["target"], entry["detail"]) == ("oidc:ada", {"sessions_ended": 1, "because": "she left"})


def test_an_admin_signs_people_out_by_the_console(entrance: Entrance) -> None:
    admin, viewer = signed_in(entrance, Role.ADMIN), signed_in(entrance, Role.VIEWER)
    assert "one-viewer" in admin.get("/console/users").text
    form = {"csrf": csrf(admin), "name": "one-viewer"}
    assert admin.post("/console/users/sessions/end", data=form).status_code == 303
    assert viewer.get("/v1/events").status_code == 401
    assert "one-viewer was signed out of 1 session" in admin.get("/console/users").text


def test_over_tls_no_cookie_can_be_planted_by_a_neighbour(ledger: Ledger, issuer: issuers.Issuer) -> None:
    entrance = Entrance(ledger, oidc_issuer=issuer.url, oidc_client_id=issuers.CLIENT, public_url=PUBLIC)
    begun = entrance.app.test_client().get("/console/sign-in/company", base_url=PUBLIC)
    client = signed_in(entrance, Role.OPERATOR, base_url=PUBLIC)
    page = client.get("/console/sign-out", base_url=PUBLIC).text
    form = {"csrf": re.findall(r'name="csrf" value="([0-9a-f]+)"', page)[0]}
    done = client.post("/console/types/other/pause", base_url=PUBLIC, data=form)
    assert done.status_code == 303, done.text
    for answer, name in ((begun, "__Host-millrace_flow"), (done, "__Host-millrace_said")):
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"{name}="), cookie
        assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    shown = client.get("/console/types", base_url=PUBLIC)
    assert "other is paused" in shown.text
    assert "__Host-millrace_said=;" in shown.headers["Set-Cookie"]


# --- what is masked -------------------------------------------------------------------------------------------------


class Visit(pydantic.BaseModel):
    diagnosis: pydantic.SecretStr


def test_the_log_masks_what_a_model_marks(database: str) -> None:
    ledger = Ledger(database)
    ledger.handler("visits.noted", print, payload=Visit)
    entrance = Entrance(ledger)
    document = {"name": "s", "type": "visits.noted", "plan": {"every": "1h"}, "payload": {"diagnosis": "measles"}}
    place = "/v1/schedules/s"
    assert entrance.as_(Role.OPERATOR, "POST", "/v1/schedules", json=document).status_code == 201
    etag = entrance.as_(Role.OPERATOR, "GET", place).headers["ETag"]
    changed = {"payload": {"diagnosis": "mumps"}}
    edit = entrance.as_(Role.OPERATOR, "PATCH", place, json=changed, headers={"If-Match": etag})
    assert edit.status_code == 200
    assert entrance.as_(Role.OPERATOR, "DELETE", place).status_code == 204
    told = json.dumps(entrance.log(act="schedule"))
    page = signed_in(entrance, Role.ADMIN).get("/console/audit?act=schedule").text
    for text in (told, page):
        assert ("visits.noted" in text, "measles" in text, "mumps" in text) == (True, False, False)


HEADERS = {"argsrepr": "('4111111111111111',)", "x-delivery-count": 3, "a/b~c": "secret"}


def test_headers_of_what_is_not_ours_are_masked_like_its_body(entrance: Entrance, ledger: Ledger) -> None:
    [(stray,)] = ledger.sql(
        "insert into millrace.strays (id, queue, reason, properties, headers, body)"
        " values (gen_random_uuid(), 'events', 'no ticket', '{}', %s, 'text') returning id::text",
        json.dumps(HEADERS),
    )
    place = f"/v1/strays/{stray}"
    found = entrance.as_(Role.VIEWER, "GET", place).get_json()
    assert found["headers"] == {"argsrepr": "***", "x-delivery-count": 3, "a/b~c": "***"}
    assert sorted(found["masked"]) == ["/body", "/headers/argsrepr", "/headers/a~1b~0c"]
    viewer, operator = (signed_in(entrance, role) for role in (Role.VIEWER, Role.OPERATOR))
    assert "4111" not in viewer.get(f"/console/strays/{stray}").text
    shown = entrance.as_(Role.OPERATOR, "GET", f"{place}?reveal=to+find+its+sender").get_json()
    assert (shown["headers"], shown["masked"]) == (HEADERS, [])
    form = {"csrf": csrf(operator), "reason": "to find its sender"}
    assert "4111" in operator.post(f"/console/strays/{stray}/reveal", data=form).text
    # It goes for good only if it was meant.
    page = operator.get(f"/console/strays/{stray}/discard")
    assert stray[-8:] in page.text
    assert operator.post(f"/console/strays/{stray}/discard", data=form).status_code == 409
    assert StrayLedger(ledger.engine).show(stray)
    assert operator.post(f"/console/strays/{stray}/discard", data=form | {"confirm": stray[-8:]}).status_code == 303
    assert entrance.as_(Role.VIEWER, "GET", place).status_code == 404


def test_a_key_is_revoked_in_the_console_when_its_name_was_typed(entrance: Entrance) -> None:
    admin = signed_in(entrance, Role.ADMIN)
    place, form = f"/console/keys/{entrance.id('viewer')}/revoke", {"csrf": csrf(admin)}
    assert 'data-confirm="viewer"' in admin.get(place).text
    for typed in ({}, {"confirm": "operator"}):
        assert admin.post(place, data=form | typed).status_code == 409
    assert entrance.as_(Role.VIEWER, "GET", "/v1/types").status_code == 200
    assert admin.post(place, data=form | {"confirm": "viewer"}).status_code == 303
    assert entrance.as_(Role.VIEWER, "GET", "/v1/types").status_code == 401

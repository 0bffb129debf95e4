"""Who may do what: every route, every role, and every way to come without a good credential."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import flask
import pytest
from joserfc import jwk

from service import web
from service.domain import errors
from service.domain.access import GRANTED, Permission, Role
from service.settings import Settings, load
from service.web import access, guard
from tests import issuer as issuers
from tests.entrance import SECRET, Entrance
from tests.inputs import credentials as inputs
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

CHANGING = {Permission.SUBMIT, Permission.CONTROL, Permission.SCHEDULE, Permission.ACCESS}
#: Routes that change nothing though their method might, or look for themselves.
HARMLESS = {
    "/v1/schedules/preview", "/console/sign-in", "/console/sign-out", "/console/schedules/preview",
    "/console/events/<event_id>/reveal", "/console/strays/<stray_id>/reveal",
}  # fmt: skip


@pytest.fixture
def entrance(ledger: Ledger, issuer: issuers.Issuer) -> Entrance:
    return Entrance(ledger, oidc_issuer=issuer.url, oidc_audience=(issuers.AUDIENCE,))


@dataclasses.dataclass(frozen=True)
class Route:
    """A route, with something in the place of its variables."""

    method: str
    path: str
    rule: str
    wanted: tuple[Permission, ...]


def routes(app: flask.Flask) -> list[Route]:
    found = []
    for rule in app.url_map.iter_rules():
        _, path = rule.build(dict.fromkeys(rule.arguments, "nothing")) or ("", "")
        wanted = access.all_needed(app.view_functions[rule.endpoint])
        found += [Route(m, path, rule.rule, wanted) for m in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def bad_headers(entrance: Entrance, issuer: issuers.Issuer) -> dict[str, inputs.Headers]:
    """Ways to come without a good credential: of the tokens, one of each group. All are tried at one route."""
    keys = inputs.keys_of(entrance)
    tokens = {group: (name, token(issuer)) for name, (group, token, _) in inputs.TOKENS.items()}
    return (
        {name: headers(keys) for name, (_, headers) in inputs.KEYS.items()}
        | {f"token: {name}": inputs.bearer(token) for name, token in tokens.values()}
        | {
            "a megabyte": inputs.bearer("x" * 1_000_000),
            "a session that never was": [("Cookie", "millrace=" + "A" * 43)],
            "a session that is none": [("Cookie", "millrace=admin")],
        }
    )


def test_every_route_says_what_it_needs(entrance: Entrance) -> None:
    found = routes(entrance.app)
    assert len(found) > 40
    assert [r for r in found if not r.wanted] == [], "mark the view with service.web.access.needs"
    changing = [r for r in found if r.method != "GET" and r.rule not in HARMLESS]
    assert [r for r in changing if not set(r.wanted) <= CHANGING] == [], "what changes something needs more than READ"


def test_every_route_lets_those_in_who_may_and_nobody_else(entrance: Entrance, issuer: issuers.Issuer) -> None:
    """Every route, every role, every bad credential."""
    bad = bad_headers(entrance, issuer)
    good: dict[str, tuple[Role, str]] = {role.value: (role, key) for role, key in entrance.keys.items()}
    good |= {f"token of a {role}": (role, issuer.token(roles=[role.value], sub=role.value)) for role in Role}
    wrong, counted = [], 0
    for route in routes(entrance.app):
        if Permission.ASK in route.wanted:
            continue  # Open to all; what the pages to sign in do of themselves is tested with them.
        for name, (role, key) in good.items():
            answer = entrance.ask(route.method, route.path, key)
            may = any(p in GRANTED[role] for p in route.wanted)
            document = {} if may else json.loads(answer.data)
            told = may or (
                document["permission"] == route.wanted[0].value
                and 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
            )
            if (answer.status_code in (401, 403)) == may or answer.status_code >= 500 or not told:
                wrong.append((route.method, route.rule, name, answer.status_code))
            counted += 1
        for name, headers in bad.items():
            answer = entrance.app.test_client().open(route.path, method=route.method, headers=headers)
            refused = answer.status_code == 401 and answer.headers.get("WWW-Authenticate", "").startswith(
                "Bearer realm="
            )
            # A browser is led to the door instead.
            led = route.rule.startswith("/console") and answer.headers.get("Location", "").startswith(
                "/console/sign-in"
            )
            if not (refused or led) or answer.status_code >= 500:
                wrong.append((route.method, route.rule, name, answer.status_code))
            counted += 1
    assert wrong == []
    assert counted > 2_000
    assert entrance.ledger_sql("select count(*) from millrace.events") == [(0,)]


def test_a_refusal_names_the_permission_and_the_cure(entrance: Entrance) -> None:
    answer = entrance.ask("GET", "/v1/events")
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="millrace"'
    answer = entrance.ask("GET", "/v1/events", "mr_no")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="millrace", error="invalid_token"'
    answer = entrance.as_(Role.VIEWER, "POST", "/v1/types/other/pause")
    document = json.loads(answer.data)
    assert (answer.status_code, document["type"], document["permission"]) == (403, "/problems/not-permitted", "control")
    assert "viewer" in document["detail"]


def test_only_who_may_see_payloads_may_search_in_them(entrance: Entrance) -> None:
    asked = "/v1/events?type=orders.created&since=2026-01-01T00:00:00Z&text=card"
    statuses = {role: entrance.as_(role, "GET", asked).status_code for role in (Role.VIEWER, Role.OPERATOR)}
    assert statuses == {Role.VIEWER: 403, Role.OPERATOR: 200}


def test_a_view_that_nobody_marked_is_closed_to_everybody(ledger: Ledger) -> None:
    entrance = Entrance(ledger)
    entrance.app.add_url_rule("/reports", "reports", lambda: "all of them")

    @entrance.app.get("/marked")
    @access.needs(Permission.READ)
    def marked() -> str:
        return access.principal().name

    answer = entrance.as_(Role.ADMIN, "GET", "/reports")
    assert answer.status_code == 403
    assert "no permission is named" in json.loads(answer.data)["detail"]
    assert guard.unmarked(entrance.app) == ["/reports"]
    assert entrance.as_(Role.VIEWER, "GET", "/marked").text == "viewer"
    assert entrance.as_(Role.PRODUCER, "GET", "/marked").status_code == 403


def post(entrance: Entrance, key: str, type_name: str = "orders.created", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return entrance.ask("POST", f"/v1/events/{type_name}", key, json={}, headers=given)


def test_a_producer_posts_its_own_types_only_and_sees_its_own_events_only(entrance: Entrance) -> None:
    mine = entrance.key("orders-service", Role.PRODUCER, ("orders.*",))
    other = entrance.key("other-service", Role.PRODUCER, ("other", "millrace.*"))
    answer = post(entrance, mine, X_Producer="eu-1")
    assert answer.status_code == 202
    place = answer.headers["Location"]
    assert json.loads(entrance.ask("GET", place, mine).data)["producer"] == "orders-service/eu-1"
    assert entrance.ask("GET", place, other).status_code == 404
    assert entrance.as_(Role.VIEWER, "GET", place).status_code == 200
    refused = post(entrance, mine, "other")
    assert (refused.status_code, json.loads(refused.data)["permission"]) == (403, "events.submit")
    assert post(entrance, other, "other").status_code == 202
    lines = b'{"type": "orders.created", "payload": 1}\n{"type": "other", "payload": 1}'
    headers = {"Content-Type": "application/x-ndjson"}
    many = entrance.ask("POST", "/v1/events", mine, data=lines, headers=headers)
    assert [item["status"] for item in json.loads(many.data)["items"]] == [202, 403]
    cloud = {"specversion": "1.0", "type": "other", "source": "/a", "id": "1", "data": 1}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert entrance.ask("POST", "/v1/events", mine, data=json.dumps(cloud), headers=headers).status_code == 403


def test_two_producers_do_not_meet_in_an_idempotency_key(entrance: Entrance) -> None:
    one, two = (entrance.key(name, Role.PRODUCER) for name in ("one", "two"))
    ids = [post(entrance, key, Idempotency_Key='"k"', X_Producer="p").get_json()["id"] for key in (one, one, two)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)
    cloud = {"specversion": "1.0", "type": "other", "source": "/a", "id": "1", "data": 1}
    headers = {"Content-Type": "application/cloudevents+json"}
    ids = [
        entrance.ask("POST", "/v1/events", key, data=json.dumps(cloud), headers=headers).get_json()["id"]
        for key in (one, one, two)
    ]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)


def test_an_act_is_that_of_the_principal_whatever_they_say(entrance: Entrance) -> None:
    paused = entrance.as_(Role.OPERATOR, "POST", "/v1/types/other/pause", headers={"X-Producer": "the boss"})
    assert paused.get_json()["by"] == "operator"


def test_access_that_is_off_is_for_loopback_only() -> None:
    assert load(access="off", http="127.0.0.1:5000").require_access()
    assert load(access="off", http="[::1]:5000").require_access()
    for http in ("0.0.0.0:5000", "[::]:5000", "192.168.0.7:5000", "millrace.example:80"):
        with pytest.raises(errors.SettingsError, match=r"set MILLRACE_ACCESS=on .*or listen on 127\.0\.0\.1"):
            load(access="off", http=http).require_access()
        assert load(access="on", access_secret=SECRET, http=http).require_access()
    with pytest.raises(errors.SettingsError, match=r"MILLRACE_ACCESS_SECRET.*openssl rand -hex 32"):
        load(access="on").require_access()


def test_where_access_is_off_nobody_comes_in_through_a_browser_or_a_proxy(ledger: Ledger) -> None:
    from tests.front import Front

    client = Front(ledger).client()
    for headers, status in (
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 200),
        ({"X-Forwarded-For": "203.0.113.7, 127.0.0.1"}, 403),
    ):
        assert client.post("/v1/types/other/pause", headers=headers).status_code == status, headers


def test_a_guard_that_lacks_something_is_not_made(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="keyring"):
        guard.Guard(Settings.model_construct(access="on"))
    assert web.create_app(Entrance(ledger)).extensions[guard.NAME].is_on


def test_a_token_without_a_role_is_known_and_may_nothing(entrance: Entrance, issuer: issuers.Issuer) -> None:
    answer = entrance.ask("GET", "/v1/events", issuer.token(roles=["guest"]))
    assert answer.status_code == 403
    assert "no role" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("claims", "settings", "role"),
    [
        ({"roles": "viewer operator"}, {}, Role.OPERATOR),
        ({"realm": {"roles": ["admin"]}, "roles": None}, {"oidc_role_claim": "realm.roles"}, Role.ADMIN),
        ({"https://x.example/r": ["ops"]}, {"oidc_role_claim": "https://x.example/r"}, None),
        (
            {"https://x.example/r": ["ops"]},
            {"oidc_role_claim": "https://x.example/r", "oidc_roles": (("ops", Role.OPERATOR),)},
            Role.OPERATOR,
        ),
        ({"roles": ["admin"]}, {"oidc_roles": (("ops", Role.OPERATOR),)}, None),
        ({"roles": 7}, {}, None),
    ],
)
def test_the_role_is_what_the_claim_says(claims: dict[str, Any], settings: dict[str, Any], role: Role | None) -> None:
    from service.web import tokens

    assert tokens.role_of(claims, Settings.model_construct(**settings)) == role


def test_the_issuers_keys_are_fetched_seldom_and_its_new_ones_found(
    entrance: Entrance, issuer: issuers.Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        assert entrance.ask("GET", "/v1/events", issuer.token(sub="a")).status_code == 200
        assert entrance.ask("GET", "/v1/events", issuer.token({"kid": "made-up"})).status_code == 401
    assert issuer.asked["/realm/keys"] == 1
    issuer.others.append(jwk.ECKey.generate_key("P-256", {"kid": "two"}))
    token = issuer.token({"alg": "ES256", "kid": "two"}, issuer.others[0], sub="b")
    assert entrance.ask("GET", "/v1/events", token).status_code == 401  # It was asked just now.
    monkeypatch.setattr("service.web.issuer.AGAIN", 0.0)
    assert entrance.ask("GET", "/v1/events", token).status_code == 200
    issuer.away = True
    monkeypatch.setattr("service.web.issuer.FRESH", 0.0)
    assert entrance.ask("GET", "/v1/events", issuer.token(sub="c")).status_code == 200  # What is known does.
    monkeypatch.setattr("service.web.issuer.STALE", 0.0)
    away = entrance.ask("GET", "/v1/events", issuer.token(sub="d"))
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")

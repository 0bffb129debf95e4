"""Signing in to the console: by password, at the issuer, and what a session may and may not."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import argon2
import psycopg2
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.application import users
from service.domain import errors
from service.domain.access import Role
from service.settings import load
from service.web import signin
from tests import issuer as issuers
from tests.entrance import PASSWORD, SECRET, Entrance
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

PUBLIC = "https://millrace.example"
NEW = "another correct horse"


@pytest.fixture
def entrance(ledger: Ledger) -> Entrance:
    return with_ada(Entrance(ledger))


def with_ada(entrance: Entrance) -> Entrance:
    entrance.operations.users.add("ada", "operator", PASSWORD, by="test")
    return entrance


def sign_in(client: FlaskClient, user: str = "ada", password: str = PASSWORD, **more: Any) -> TestResponse:
    form = {"user": user, "password": password, **more.pop("form", {})}
    return client.post("/console/sign-in", data=form, **more)


def token_of(client: FlaskClient) -> str:
    """What the page to sign out carries."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/console/sign-out").text)
    assert found
    return found[1]


def pause(client: FlaskClient, **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/types/other/pause", headers=given).status_code


# --- by password ----------------------------------------------------------------------------------------------------


def test_a_user_signs_in_looks_acts_and_signs_out(entrance: Entrance, ledger: Ledger) -> None:
    client = entrance.app.test_client()
    assert client.get("/v1/events").status_code == 401
    answer = sign_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console")
    cookie = answer.headers["Set-Cookie"]
    assert re.fullmatch(r"millrace=[\w-]{43}; HttpOnly; Path=/; SameSite=Lax", cookie), cookie
    assert client.get("/v1/events").status_code == 200
    assert client.get("/v1/keys").status_code == 403
    token = token_of(client)
    assert pause(client, X_CSRF_Token=token) == 200
    assert client.post("/v1/types/other/resume", data={"csrf": token}).status_code == 200
    assert client.post("/console/sign-out", data={"csrf": token}).status_code == 303
    assert client.get("/v1/events").status_code == 401
    client.set_cookie("millrace", cookie.split(";")[0].partition("=")[2])
    assert client.get("/v1/events").status_code == 401, "a cookie that was kept opens nothing"
    acts = [(e["actor"], e["act"]) for e in entrance.log(actor="ada")]
    assert acts == [
        ("ada", "session.begun"), ("ada", "type.paused"), ("ada", "type.resumed"), ("ada", "session.ended"),
    ]  # fmt: skip


def test_without_the_token_of_the_page_nothing_is_changed(entrance: Entrance) -> None:
    client, other = entrance.app.test_client(), entrance.app.test_client()
    sign_in(client)
    sign_in(other)
    token = token_of(client)
    for headers in (
        {},
        {"X_CSRF_Token": ""},
        {"X_CSRF_Token": "x" * 43},
        {"X_CSRF_Token": token_of(other)},
        {"X_CSRF_Token": token, "Origin": "https://evil.example"},
        {"X_CSRF_Token": token, "Origin": "null"},
        {"X_CSRF_Token": token, "Sec_Fetch_Site": "cross-site"},
        {"X_CSRF_Token": token, "Sec_Fetch_Site": "same-site"},
    ):
        assert pause(client, **headers) == 403, headers
    assert client.post("/console/sign-out").status_code == 403
    assert pause(client, X_CSRF_Token=token, Origin="http://localhost", Sec_Fetch_Site="same-origin") == 200


def test_user_and_password_are_told_apart_by_nobody(entrance: Entrance) -> None:
    said = set()
    for user, password in (("ada", "wrong password!"), ("eve", PASSWORD), ("Ada", PASSWORD), ("ada'--", "x" * 9999)):
        answer = sign_in(entrance.app.test_client(), user, password)
        assert (answer.status_code, answer.mimetype) == (401, "text/html")
        found = re.search(r'id="pass-fault">([^;]*); (\d) tr', answer.text)
        assert found
        said.add(found[1])
        assert "Set-Cookie" not in answer.headers
    assert said == {"User and password do not match"}


def test_guessing_is_slow_and_slows_nobody_else(entrance: Entrance) -> None:
    addresses = iter(range(1, 200))

    def come(user: str, password: str, address: str | None = None) -> TestResponse:
        where = address or f"10.0.0.{next(addresses)}"
        return sign_in(entrance.app.test_client(), user, password, environ_base={"REMOTE_ADDR": where})

    assert [come("ada", "wrong password!", "10.8.8.8").status_code for _ in range(7)] == [401] * 5 + [429] * 2
    slow = come("ada", PASSWORD, "10.8.8.8")
    assert (slow.status_code, 0 < int(slow.headers["Retry-After"]) <= 60) == (429, True)
    assert [come(f"u{n}", "wrong password!", "10.9.9.9").status_code for n in range(6)] == [401] * 5 + [429]
    entrance.operations.users.add("bob", "viewer", PASSWORD, by="test")
    assert come("bob", PASSWORD).status_code == 303


def test_a_session_begins_anew_at_every_sign_in(entrance: Entrance, ledger: Ledger) -> None:
    client = entrance.app.test_client()
    client.set_cookie("millrace", "A" * 43)
    first = sign_in(client).headers["Set-Cookie"]
    second = sign_in(client).headers.getlist("Set-Cookie")[-1]
    assert "A" * 43 not in first
    assert first.split(";")[0] != second.split(";")[0]
    assert ledger.sql("select count(*) from millrace.sessions") == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "update millrace.sessions set seen_at = now() - interval '31 minutes'",
        "update millrace.sessions set ends_at = now() - interval '1 second'",
        "delete from millrace.users",
        "delete from millrace.sessions",
    ],
)
def test_a_session_ends(entrance: Entrance, ledger: Ledger, change: str) -> None:
    client = entrance.app.test_client()
    sign_in(client)
    assert client.get("/v1/events").status_code == 200
    ledger.sql(change)
    assert client.get("/v1/events").status_code == 401


def test_a_user_who_is_demoted_is_so_at_once_and_another_password_ends_all(entrance: Entrance, ledger: Ledger) -> None:
    client = entrance.app.test_client()
    sign_in(client)
    token = token_of(client)
    ledger.sql("update millrace.users set role = 'viewer'")
    assert pause(client, X_CSRF_Token=token) == 403
    assert client.get("/v1/events").status_code == 200
    entrance.operations.users.set_password("ada", "another correct horse", by="test")
    assert client.get("/v1/events").status_code == 401


def test_rest_is_measured_from_the_last_request(entrance: Entrance, ledger: Ledger) -> None:
    client = entrance.app.test_client()
    sign_in(client)
    ledger.sql("update millrace.sessions set seen_at = now() - interval '29 minutes'")
    assert client.get("/v1/events").status_code == 200
    assert ledger.sql("select seen_at > now() - interval '1 minute' from millrace.sessions") == [(True,)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/console/events?type=a.b&limit=5", True), ("/console", True), ("//evil.example", False),
        ("/\\evil.example", False), ("https://evil.example", False), ("javascript:alert(1)", False), ("/v1", False),
        ("/console//evil", False), ("/console/\r\nX: y", False), ("/consolex", False), ("/console/../v1", False),
        ("/console/sign-in?next=/console", False), ("", False),
    ],
)  # fmt: skip
def test_after_signing_in_one_stays_in_the_console(entrance: Entrance, given: str, kept: bool) -> None:
    answer = sign_in(entrance.app.test_client(), form={"next": given})
    assert answer.headers["Location"] == (given if kept else "/console")


def test_a_browser_is_led_to_the_door_and_a_script_is_told(entrance: Entrance) -> None:
    @entrance.app.get("/console/somewhere")
    @signin.access.needs(signin.Permission.READ)
    def somewhere() -> str:
        return "here"

    client = entrance.app.test_client()
    answer = client.get("/console/somewhere?type=a.b")
    place = "/console/sign-in?next=%2Fconsole%2Fsomewhere%3Ftype%3Da.b"
    assert (answer.status_code, answer.headers["Location"]) == (303, place)
    assert 'value="/console/somewhere?type=a.b"' in client.get(place).text
    script = client.get("/console/somewhere", headers={"HX-Request": "true"})
    assert (script.status_code, script.headers["HX-Redirect"]) == (401, "/console/sign-in")
    sign_in(client)
    assert client.get("/console/somewhere").text == "here"


def test_pages_carry_what_keeps_browsers_in_check(ledger: Ledger) -> None:
    entrance = with_ada(Entrance(ledger, public_url=PUBLIC))
    page = entrance.app.test_client().get("/console/sign-in", base_url=PUBLIC)
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))
    assert not re.search(r"<script|style=|\son\w+=|javascript:", page.text)
    assert page.headers["Strict-Transport-Security"].startswith("max-age=")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in page.headers["Cache-Control"]
    answer = sign_in(entrance.app.test_client(), base_url=PUBLIC)
    assert re.fullmatch(
        r"__Host-millrace=[\w-]{43}; Secure; HttpOnly; Path=/; SameSite=Lax", answer.headers["Set-Cookie"]
    )


def test_away_from_loopback_no_cookie_goes_without_tls(entrance: Entrance) -> None:
    answer = sign_in(entrance.app.test_client(), base_url="http://millrace.example")
    assert answer.headers["Set-Cookie"].startswith("__Host-millrace=")
    assert "; Secure;" in answer.headers["Set-Cookie"]


def test_what_a_user_types_is_never_markup(entrance: Entrance) -> None:
    answer = sign_in(entrance.app.test_client(), user='"><script>alert(1)</script>')
    assert "<script" not in answer.text


def test_nobody_signs_in_where_nobody_can(ledger: Ledger) -> None:
    assert "millrace users add" in Entrance(ledger).app.test_client().get("/console/sign-in").text


@pytest.mark.parametrize("password", ["short", "x" * 300, "aaaaaaaaaaaaaaaa", "ada-and-some-more"])
def test_a_password_that_could_be_guessed_is_refused(entrance: Entrance, password: str) -> None:
    with pytest.raises(errors.InvalidAccess):
        entrance.operations.users.set_password("ada", password, by="test")


def test_passwords_are_kept_as_argon2id(entrance: Entrance, ledger: Ledger) -> None:
    [(kept,)] = ledger.sql("select password from millrace.users")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    weaken(ledger)
    assert sign_in(entrance.app.test_client()).status_code == 303
    assert ledger.sql("select password from millrace.users")[0][0].startswith("$argon2id$v=19$m=19456")


def meanwhile(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], object]) -> None:
    """Have something happen once, right after a call of this function."""
    call, acts = getattr(owner, name), iter([act])

    def slow(*args: Any) -> Any:
        found = call(*args)
        for once in acts:
            once()
        return found

    monkeypatch.setattr(owner, name, slow)


@pytest.mark.parametrize("change", ["disable", "set_password", "remove"])
def test_no_session_begins_with_a_password_that_opens_nothing_any_more(
    entrance: Entrance, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    more = (NEW,) if change == "set_password" else ()
    act = functools.partial(getattr(entrance.operations.users, change), "ada", *more, by="test")
    meanwhile(monkeypatch, users.Users, "sign_in", act)
    client = entrance.app.test_client()
    answer = sign_in(client)
    assert answer.status_code == 401
    if change == "disable":
        entrance.operations.users.enable("ada", by="test")
    assert client.get("/v1/events").status_code == 401
    assert ledger.sql("select count(*) from millrace.sessions") == [(0,)]


def test_a_session_waits_for_who_changes_its_user(entrance: Entrance, ledger: Ledger) -> None:
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        contextlib.closing(psycopg2.connect(ledger.url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("update millrace.users set password = '!' || password")
        cursor.execute("delete from millrace.sessions where local = 'ada'")
        answer = pool.submit(sign_in, entrance.app.test_client())
        with pytest.raises(concurrent.futures.TimeoutError):
            answer.result(0.5)
        connection.commit()
        # It was disabled after the password was looked at: what was verified is not what is there.
        assert answer.result().status_code == 401
    assert ledger.sql("select count(*) from millrace.sessions") == [(0,)]


def test_whoever_is_enabled_has_no_session_of_before(entrance: Entrance, ledger: Ledger) -> None:
    client = entrance.app.test_client()
    sign_in(client)
    ledger.sql("update millrace.users set password = '!' || password")  # An older process began it just now.
    entrance.operations.users.enable("ada", by="test")
    assert client.get("/v1/events").status_code == 401


def weaken(ledger: Ledger) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192).hash(PASSWORD)
    ledger.sql(f"update millrace.users set password = '{weak}'")


def test_a_stronger_hash_takes_the_place_of_no_other_password(
    entrance: Entrance, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(ledger)
    change = functools.partial(entrance.operations.users.set_password, "ada", NEW, by="test")
    meanwhile(monkeypatch, users, "_verify", change)
    assert sign_in(entrance.app.test_client()).status_code == 401
    assert sign_in(entrance.app.test_client(), password=NEW).status_code == 303


def test_of_two_sign_ins_at_once_that_make_a_stronger_hash_both_succeed(
    entrance: Entrance, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(ledger)
    others: list[int] = []

    def another() -> None:
        # A request within a request would leave its id to the lines of this thread.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            others.append(pool.submit(sign_in, entrance.app.test_client()).result(60).status_code)

    meanwhile(monkeypatch, users, "_verify", another)
    assert (sign_in(entrance.app.test_client()).status_code, others) == (303, [303])


def test_the_hash_that_a_nobody_is_compared_with_costs_the_same() -> None:
    assert users._nobodys().startswith("$argon2id$v=19$m=19456,t=2,p=1$")


# --- at the issuer --------------------------------------------------------------------------------------------------


@pytest.fixture
def company(ledger: Ledger, issuer: issuers.Issuer) -> Entrance:
    return Entrance(ledger, oidc_issuer=issuer.url, oidc_client_id=issuers.CLIENT, public_url="http://localhost")


def begin(client: FlaskClient) -> str:
    """Where a browser is sent to."""
    answer = client.get("/console/sign-in/company?next=/console/events")
    assert answer.status_code == 303
    return answer.headers["Location"]


def path_of(place: str) -> str:
    parts = urllib.parse.urlsplit(place)
    assert parts.netloc == "localhost"
    return f"{parts.path}?{parts.query}"


def test_one_signs_in_at_the_issuer(company: Entrance, issuer: issuers.Issuer) -> None:
    client = company.app.test_client()
    assert 'href="/console/sign-in/company?next=%2Fconsole"' in client.get("/console/sign-in").text
    answer = client.get(path_of(issuer.sign_in(begin(client))))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/events")
    assert client.get("/v1/events").status_code == 200
    assert pause(client, X_CSRF_Token=token_of(client)) == 200
    assert company.log(act="session.begun")[0]["actor"] == "oidc:ada"


@pytest.mark.parametrize(
    "bend",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"iss": "https://elsewhere.example"},
        {"exp": 1}, {"roles": []}, {"azp": "another"}, {"sub": None},
    ],
)  # fmt: skip
def test_an_id_token_that_is_not_for_this_sign_in_opens_nothing(
    company: Entrance, issuer: issuers.Issuer, bend: dict[str, Any]
) -> None:
    client = company.app.test_client()
    issuer.bend = bend
    answer = client.get(path_of(issuer.sign_in(begin(client))))
    assert (answer.status_code, "Company sign-in has failed" in answer.text) == (401, True)
    assert client.get("/v1/events").status_code == 401


def test_an_answer_that_belongs_to_another_browser_opens_nothing(company: Entrance, issuer: issuers.Issuer) -> None:
    mine, theirs = company.app.test_client(), company.app.test_client()
    begin(theirs)
    place = path_of(issuer.sign_in(begin(mine)))
    assert mine.get(place.replace("state=", "state=x")).status_code == 401
    place = path_of(issuer.sign_in(begin(mine)))
    assert theirs.get(place).status_code == 401
    assert company.app.test_client().get(place).status_code == 401
    again = path_of(issuer.sign_in(begin(mine)))
    assert mine.get(again).status_code == 303
    assert mine.get(again).status_code == 401, "an answer is good once"
    for query in ("", "?error=access_denied", "?code=x"):
        assert mine.get(f"/console/sign-in/return{query}").status_code == 401


def test_while_the_issuer_is_away_one_is_told(company: Entrance, issuer: issuers.Issuer) -> None:
    issuer.away = True
    answer = company.app.test_client().get("/console/sign-in/company")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_settings_that_would_let_strangers_in_are_refused() -> None:
    good = {"oidc_issuer": "https://id.example", "oidc_client_id": "console", "public_url": PUBLIC}
    load(access="on", access_secret=SECRET, **good)
    for bad, why in (
        ({"oidc_audience": "console"}, "an ID token would open the API"),
        ({"oidc_issuer": "http://id.example"}, "https://host is wanted"),
        ({"oidc_issuer": ""}, "needs MILLRACE_OIDC_ISSUER"),
        ({"public_url": ""}, "needs MILLRACE_PUBLIC_URL"),
        ({"oidc_algorithms": "none"}, "are wanted, not none"),
        ({"oidc_algorithms": "HS256,RS256"}, "are wanted, not HS256"),
        ({"oidc_roles": "ops=root"}, "value=role is wanted"),
        ({"access_secret": "short"}, "32 characters or more"),
    ):
        with pytest.raises(errors.SettingsError, match=why) as raised:
            load(**{"access": "on", "access_secret": SECRET, **good, **bad})
        assert "MILLRACE_" in str(raised.value)
        assert "short" not in str(raised.value)


def test_every_role_has_a_page_to_go_to(entrance: Entrance) -> None:
    for role in Role:
        entrance.operations.users.add(f"a-{role}", role, PASSWORD, by="test")
        client = entrance.app.test_client()
        assert sign_in(client, f"a-{role}").status_code == 303
        assert client.get("/console/sign-out").status_code == 200

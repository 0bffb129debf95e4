"""API keys over HTTP and on the host, rate limits, and what a real web process makes of both."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service import cli, doctor
from service.client import Client, NewEvent, NotAllowed
from service.domain import credentials
from service.domain.access import Role
from service.settings import Settings
from tests.door import TIMEOUT
from tests.entrance import PASSWORD, SECRET, Entrance
from tests.front import served
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait
from tests.road import Road

pytestmark = pytest.mark.postgres

AWAY = "amqp://guest:guest@127.0.0.1:1//"  #: a broker that nobody has started


@pytest.fixture
def entrance(ledger: Ledger) -> Entrance:
    return Entrance(ledger)


# --- over HTTP ------------------------------------------------------------------------------------------------------


def make(entrance: Entrance, **document: Any) -> Any:
    return entrance.as_(Role.ADMIN, "POST", "/v1/keys", json=document)


def test_a_key_is_made_shown_once_used_rotated_and_revoked(entrance: Entrance) -> None:
    made = make(entrance, name="orders-service", role="producer", types=["orders.*", "other"], lasts=86_400)
    assert made.status_code == 201
    document = made.get_json()
    old = document.pop("key")
    assert credentials.id_of(old) == document["id"]
    assert (document["state"], document["created_by"], document["types"]) == ("live", "admin", ["orders.*", "other"])
    assert old.split("_")[2] not in entrance.as_(Role.ADMIN, "GET", "/v1/keys?all=1").text
    assert entrance.ask("POST", "/v1/events/other", old, json={}).status_code == 202

    rotated = entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{document['id']}/rotate?overlap=3600").get_json()
    new = rotated["key"]
    assert (rotated["name"], rotated["role"], rotated["types"]) == ("orders-service", "producer", document["types"])
    for key in (old, new):
        assert entrance.ask("GET", "/v1/types", key).status_code == 200
    third = entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{rotated['id']}/rotate")
    assert (third.status_code, third.get_json()["type"]) == (409, "/problems/two-keys-live")
    assert make(entrance, name="orders-service", role="producer").status_code == 409

    ended = entrance.as_(Role.ADMIN, "DELETE", f"/v1/keys/{document['id']}").get_json()
    assert (ended["state"], ended["revoked_by"]) == ("revoked", "admin")
    assert [entrance.ask("GET", "/v1/types", key).status_code for key in (old, new)] == [401, 200]
    assert entrance.as_(Role.ADMIN, "DELETE", f"/v1/keys/{document['id']}").status_code == 404
    assert entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{document['id']}/rotate").status_code == 404
    listed = {k["id"]: k["state"] for k in entrance.as_(Role.ADMIN, "GET", "/v1/keys?all=1").get_json()["keys"]}
    assert (listed[document["id"]], listed[rotated["id"]]) == ("revoked", "live")
    acts = [(e["act"], e["target"]) for e in entrance.log(actor="admin")]
    assert acts == [
        ("key.created", document["id"]), ("key.rotated", document["id"]), ("key.revoked", document["id"]),
    ]  # fmt: skip


SLOWLY = """
create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.05); return new; end';
create trigger slowly before insert on millrace.keys for each row execute function slowly()
"""


def test_of_many_who_make_a_key_of_one_name_at_once_two_do(entrance: Entrance, ledger: Ledger) -> None:
    ledger.sql(SLOWLY)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: make(entrance, name="one", role="viewer").status_code, range(8)))
    assert sorted(found) == [201, 201] + [409] * 6
    ledger.sql("drop trigger slowly on millrace.keys; drop function slowly")


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], [""]),
        ({}, ["/name", "/role"]),
        ({"name": "A b", "role": "viewer"}, ["/name"]),
        ({"name": "a/b", "role": "viewer"}, ["/name"]),
        ({"name": "oidc:x", "role": "viewer"}, ["/name"]),
        ({"name": "a", "role": "root"}, ["/role"]),
        ({"name": "a", "role": "viewer", "types": ["orders.*"]}, ["/types"]),
        ({"name": "a", "role": "producer", "types": ["Orders", "a.b"]}, ["/types/0"]),
        ({"name": "a", "role": "producer", "types": "a.b"}, ["/types"]),
        ({"name": "a", "role": "viewer", "lasts": -1}, ["/lasts"]),
        ({"name": "a", "role": "viewer", "lasts": 1e300}, ["/lasts"]),
        ({"name": "a", "role": "viewer", "lasts": True}, ["/lasts"]),
        ({"name": "a", "role": "viewer", "id": "x"}, ["/id"]),
    ],
)
def test_what_is_wrong_with_a_key_is_told_part_by_part(entrance: Entrance, document: Any, pointers: list[str]) -> None:
    answer = entrance.as_(Role.ADMIN, "POST", "/v1/keys", json=document)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == pointers


def test_that_a_key_was_used_is_noted(entrance: Entrance, ledger: Ledger) -> None:
    assert ledger.sql("select used_at from millrace.keys where name = 'viewer'") == [(None,)]
    entrance.as_(Role.VIEWER, "GET", "/v1/types")
    assert ledger.sql("select used_at is not null from millrace.keys where name = 'viewer'") == [(True,)]


# --- rate limits ----------------------------------------------------------------------------------------------------


def test_a_key_that_asks_too_often_is_told_when_to_come_again(ledger: Ledger) -> None:
    entrance = Entrance(ledger, rate_key=2.0)
    answers = [entrance.as_(Role.VIEWER, "GET", "/v1/types") for _ in range(6)]
    assert [a.status_code for a in answers[:5]] == [200] * 4 + [429]
    slow = answers[4]
    assert (slow.content_type, slow.headers["Retry-After"]) == ("application/problem+json", "1")
    assert slow.headers["RateLimit"] == '"key";r=0;t=1'
    assert answers[0].headers["RateLimit-Policy"] == '"key";q=4;w=2'
    assert answers[0].headers["RateLimit"] == '"key";r=3;t=0'
    assert entrance.as_(Role.OPERATOR, "GET", "/v1/types").status_code == 200, "others are not slowed down"


def test_an_address_that_guesses_is_slowed_down_and_a_good_key_there_is_not(ledger: Ledger) -> None:
    entrance = Entrance(ledger, rate_address=1.0)
    guesses = [entrance.ask("GET", "/v1/types", credentials.make().text).status_code for _ in range(5)]
    assert guesses == [401, 401, 429, 429, 429]
    assert entrance.as_(Role.VIEWER, "GET", "/v1/types").status_code == 200
    assert entrance.ask("GET", "/healthz").status_code == 200
    elsewhere = {"environ_base": {"REMOTE_ADDR": "10.0.0.1"}}
    assert entrance.ask("GET", "/v1/types", **elsewhere).status_code == 401


def test_a_forwarded_address_is_believed_of_proxies_only(ledger: Ledger) -> None:
    import ipaddress

    entrance = Entrance(ledger, rate_address=1.0, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))

    def guess(forwarded: str, peer: str) -> int:
        more = {"headers": {"X-Forwarded-For": forwarded}, "environ_base": {"REMOTE_ADDR": peer}}
        return int(entrance.ask("GET", "/v1/types", **more).status_code)

    assert [guess("1.1.1.1", "10.0.0.1") for _ in range(3)] == [401, 401, 429]
    assert guess("1.1.1.2", "10.0.0.1") == 401
    assert guess("9.9.9.9, 1.1.1.1, 10.0.0.7", "10.0.0.1") == 429, "the nearest that is no proxy"
    assert [guess(f"5.5.5.{n}", "8.8.8.8") for n in range(3)] == [401, 401, 429], "a stranger may say what it likes"
    assert guess("nonsense", "10.0.0.2") == 401


def test_users_are_added_changed_and_removed_over_http(entrance: Entrance) -> None:
    admin = entrance.keys[Role.ADMIN]
    new = {"name": "ada", "role": "operator", "password": PASSWORD}
    assert entrance.ask("POST", "/v1/users?because=she+is+new", admin, json=new).get_json() == {
        "name": "ada", "role": "operator",
    }  # fmt: skip
    assert entrance.ask("POST", "/v1/users", admin, json=new).status_code == 409
    listed = entrance.ask("GET", "/v1/users", admin)
    assert [(user["name"], user["role"], user["created_by"]) for user in listed.get_json()["users"]] == [
        ("ada", "operator", "admin")
    ]
    assert PASSWORD not in listed.text
    assert "argon2" not in listed.text
    other = {"password": f"{PASSWORD} 2"}
    assert entrance.ask("PUT", "/v1/users/ada/password", admin, json=other).status_code == 204
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here") is Role.OPERATOR
    assert entrance.ask("PUT", "/v1/users/eve/password", admin, json=other).status_code == 404
    assert entrance.ask("DELETE", "/v1/users/ada?because=she+left", admin).status_code == 204
    assert entrance.ask("DELETE", "/v1/users/ada", admin).status_code == 404
    log = [(e["act"], e["target"], e["detail"].get("because")) for e in entrance.log(act="user")]
    assert log == [("user.added", "ada", "she is new"), ("user.password", "ada", None),
                   ("user.removed", "ada", "she left")]  # fmt: skip
    assert PASSWORD not in str(entrance.log())


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], [""]),
        ({"name": "ada", "role": "operator"}, ["/password"]),
        ({"name": "ada", "role": 7, "password": PASSWORD, "x": 1}, ["/role", "/x"]),
        ({"name": "A b", "role": "operator", "password": PASSWORD}, ["/name"]),
        ({"name": "ada", "role": "king", "password": PASSWORD}, ["/role"]),
        ({"name": "ada", "role": "operator", "password": "short"}, ["/password"]),
    ],
)
def test_what_is_wrong_with_a_user_is_told_part_by_part(entrance: Entrance, document: Any, pointers: list[str]) -> None:
    answer = entrance.ask("POST", "/v1/users", entrance.keys[Role.ADMIN], json=document)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == pointers


def test_the_chain_of_the_log_is_checked_over_http(entrance: Entrance, ledger: Ledger) -> None:
    admin = entrance.keys[Role.ADMIN]
    found = entrance.ask("GET", "/v1/audit/verify", admin).get_json()
    assert (found["holds"], found["rows"], found["breaks"]) == (True, len(Role), [])
    assert entrance.ask("GET", f"/v1/audit/verify?end={found['end']}", admin).get_json()["end_lost"] is False
    lost = entrance.ask("GET", f"/v1/audit/verify?end={'f' * 64}", admin).get_json()
    assert (lost["end_lost"], lost["holds"]) == (True, False)
    assert entrance.ask("GET", "/v1/audit/verify?end=x", admin).status_code == 422
    ledger.sql("update millrace.audit set actor = 'eve' where n = 2")
    found = entrance.ask("GET", "/v1/audit/verify", admin).get_json()
    assert (found["holds"], [one["n"] for one in found["breaks"]]) == (False, [2])
    assert entrance.as_(Role.OPERATOR, "GET", "/v1/audit/verify").status_code == 403


# --- on the host ----------------------------------------------------------------------------------------------------


@pytest.fixture
def millrace(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr("service.telemetry.logging.configure", lambda *args: None)
    monkeypatch.setattr("service.telemetry.logging.set_level", lambda *args: None)
    given = {"MILLRACE_DATABASE_URL": ledger.url, "MILLRACE_ACCESS_SECRET": SECRET}

    def run(*words: str, stdin: str = "", **environment: str) -> Result:
        done = CliRunner().invoke(cli.main, words, input=stdin, env=given | environment, prog_name="millrace")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert [one for one in done.stdout.splitlines() if len(one) > 80 and "--json" not in words] == []
        return done

    return run


def test_the_first_key_is_made_on_the_host(millrace: Callable[..., Result], entrance: Entrance) -> None:
    made = millrace("keys", "create", "first", "--role", "admin", "--expires", "90d", "--by", "root@host")
    key = made.stdout.strip()
    assert "it is shown this once" in made.stderr
    assert entrance.ask("GET", "/v1/keys", key).status_code == 200
    assert key not in millrace("keys", "list").stdout
    first = next(k for k in json.loads(millrace("keys", "list", "--json").stdout)["keys"] if k["name"] == "first")
    new = json.loads(millrace("keys", "rotate", first["id"], "--overlap", "0s", "--json").stdout)
    assert "revoked" in millrace("keys", "revoke", new["id"]).stdout
    assert millrace("keys", "revoke", new["id"], "0" * 12).exit_code == 1
    assert millrace("keys", "rotate", new["id"]).stderr.startswith("millrace: there is no live key")
    entries = [e for e in entrance.log() if e["target"] == first["id"]]
    assert [e["act"] for e in entries] == ["key.created", "key.rotated"]
    assert entries[0]["actor"] == "root@host"
    assert entries[0]["address"].startswith("host ")
    bad = millrace("keys", "create", "A b", "--role", "viewer", "--types", "x")
    assert (bad.exit_code, bad.stderr.count("millrace: /")) == (1, 2)
    assert (
        "MILLRACE_ACCESS_SECRET"
        in millrace("keys", "create", "a", "--role", "viewer", MILLRACE_ACCESS_SECRET="").stderr
    )


def test_keys_users_and_the_log_are_had_at_an_address_too(
    millrace: Callable[..., Result], entrance: Entrance, ledger: Ledger
) -> None:
    with served(ledger, access="on", access_secret=(SECRET,)) as url:
        there = {"MILLRACE_URL": url, "MILLRACE_API_KEY": entrance.keys[Role.ADMIN], "MILLRACE_DATABASE_URL": ""}
        made = millrace("keys", "create", "far", "--role", "viewer", "--because", "a dashboard", **there).stdout.strip()
        assert entrance.ask("GET", "/v1/events", made).status_code == 200
        assert "far" in millrace("keys", "list", **there).stdout
        words = ("users", "add", "ada", "--role", "viewer", "--password-stdin")
        assert millrace(*words, stdin=f"{PASSWORD}\n", **there).exit_code == 0
        assert "ada" in millrace("users", "list", **there).stdout
        assert "a dashboard" in millrace("audit", "list", "--act", "key.created", **there).stdout
        assert millrace("audit", "verify", **there).exit_code == 0
        viewer = there | {"MILLRACE_API_KEY": made}
        assert millrace("users", "list", **viewer).exit_code == 1
    assert [entry["actor"] for entry in entrance.log(act="user.added")] == ["admin"]


def test_users_are_added_changed_and_removed_on_the_host(millrace: Callable[..., Result], entrance: Entrance) -> None:
    words = ("users", "add", "ada", "--role", "operator")
    assert millrace(*words, stdin=f"{PASSWORD}\n{PASSWORD}\n").exit_code == 0
    assert millrace(*words, "--password-stdin", stdin=PASSWORD).stderr == "millrace: there is a user 'ada' already\n"
    assert millrace("users", "password", "ada", "--password-stdin", stdin="short\n").exit_code == 1
    assert millrace("users", "password", "ada", "--password-stdin", stdin=f"{PASSWORD} 2\n").exit_code == 0
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here") is Role.OPERATOR
    assert "ada" in millrace("users", "list").stdout
    assert millrace("users", "remove", "ada", "--yes").exit_code == 0
    assert millrace("users", "remove", "ada", "--yes").exit_code == 1
    assert json.loads(millrace("users", "list", "--json").stdout) == {"users": []}
    acts = ["user.added", "user.password", "user.removed"]
    assert [e["act"] for e in entrance.log(act="user")] == acts


def test_the_audit_log_is_listed_and_verified_on_the_host(millrace: Callable[..., Result], ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        millrace("keys", "create", name, "--role", "viewer")
    found = millrace("audit", "verify")
    assert (found.exit_code, found.stdout[:6]) == (0, "3 rows")
    end = json.loads(millrace("audit", "verify", "--json").stdout)["end"]
    assert millrace("audit", "verify", "--end", end).exit_code == 0
    assert millrace("audit", "verify", "--end", "f" * 64).exit_code == 1
    page = json.loads(millrace("audit", "list", "--limit", "2", "--json").stdout)
    assert ([e["n"] for e in page["audit"]], page["next_cursor"]) == ([3, 2], 2)
    assert "key.created" in millrace("audit", "list", "--act", "key", "--cursor", "2").stdout
    ledger.sql("update millrace.audit set actor = 'eve' where n = 2")
    found = millrace("audit", "verify")
    assert (found.exit_code, "FAULT row 2 was changed: key.created of" in found.stdout) == (1, True)


def test_the_doctor_says_who_is_let_in(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    def access(**settings: Any) -> doctor.Finding:
        given = {"database_url": ledger.url, "broker_url": f"filesystem://{tmp_path}"}
        return doctor._access(Settings.model_construct(**given | settings))

    assert (access().ok, access().detail[:4]) == (True, "off:")
    assert not access(http="0.0.0.0:5000").ok
    on = {"access": "on", "access_secret": (SECRET,)}
    assert (access(**on).ok, "millrace keys create" in access(**on).detail) == (False, True)
    Entrance(ledger).key("soon", Role.VIEWER, lasts=86_400)
    assert access(**on).detail == (
        "on: 5 live keys, 0 users; keys expire within a week: soon (`millrace keys rotate`)"
    )  # fmt: skip


# --- a real web process ---------------------------------------------------------------------------------------------


def test_off_is_refused_by_a_web_that_others_can_reach(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    road = Road(ledger.url, AWAY, tmp_path)
    try:
        web = road.run("web", "service", "web", http="0.0.0.0:0")
        assert web.wait_for_end(60) == 78
        assert "MILLRACE_ACCESS: access is off, and MILLRACE_HTTP=0.0.0.0:0 is not loopback" in web.text()
    finally:
        road.stop()


@pytest.fixture
def address(ledger: Ledger, tmp_path: pathlib.Path) -> Iterator[str]:
    """A web process that asks for keys; each may come five times in a second, and ten times at once."""
    road = Road(ledger.url, AWAY, tmp_path)
    yield road.web(access="on", access_secret=SECRET, rate_key="5", rate_address="1000").address
    road.stop()


def refused_by_headers(address: str, path: str, **headers: str) -> int:
    """The status of the answer to a post of 8 MB of which not one byte is sent."""
    connection = http.client.HTTPConnection(address, timeout=5 * PATIENCE)  # A body has thirty seconds to come.
    with contextlib.closing(connection):
        connection.putrequest("POST", path)
        for name, value in {"Content-Type": "application/x-ndjson", "Content-Length": "8000000", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def test_who_may_not_post_is_refused_before_the_body_is_read(ledger: Ledger, address: str) -> None:
    entrance = Entrance(ledger)
    bulk = entrance.key("bulk", Role.PRODUCER)
    nobody, viewer = f"Bearer {credentials.make().text}", f"Bearer {entrance.keys[Role.VIEWER]}"
    assert refused_by_headers(address, "/v1/events") == 401
    assert refused_by_headers(address, "/v1/events", Authorization=nobody) == 401
    assert refused_by_headers(address, "/v1/events", Authorization=viewer) == 403
    assert refused_by_headers(address, "/v1/nowhere") == 404
    # Who goes on sending is told all the same.
    events = [NewEvent("ledger.step", {"text": "x" * 1_000}) for _ in range(700)]
    with Client(f"http://{address}", key=credentials.make().text) as client:
        assert all(isinstance(item.problem, NotAllowed) for item in client.batch(events))
    # A good key brings as much as before.
    lines = b'{"type": "ledger.step", "payload": {}}\n' * 1_000
    key = {"Authorization": f"Bearer {bulk}", "Content-Type": "application/x-ndjson"}
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/events", lines, key)
        answer = connection.getresponse()
        assert answer.status == 202


def test_the_express_lane_asks_for_keys_as_flask_does(ledger: Ledger, address: str) -> None:
    entrance = Entrance(ledger)
    producer = entrance.key("steps", Role.PRODUCER, ("ledger.step",))
    nobody = credentials.make().text

    def post(key: str | None, type_name: str = "ledger.step", **headers: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        given = {"Content-Type": "application/json"} | headers
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        with contextlib.closing(connection):
            connection.request("POST", f"/v1/events/{type_name}", b"{}", given)
            response = connection.getresponse()
            response.read()
            return response.status, {n.lower(): v for n, v in response.getheaders() if "ratelimit" not in n.lower()}

    cases = [
        (producer, "ledger.step", 202), (entrance.keys[Role.OPERATOR], "ledger.step", 202), (None, "ledger.step", 401),
        (nobody, "ledger.step", 401), (producer, "ledger.alone", 403), (entrance.keys[Role.VIEWER], "ledger.step", 403),
    ]  # fmt: skip
    for _ in range(2):  # The first time the lane knows nobody.
        for key, type_name, status in cases:
            express = post(key, type_name)
            flask = post(key, type_name, Prefer="handling=lenient")  # Keeps a request off the lane.
            assert (express[0], flask[0]) == (status, status), type_name
            assert express[1].keys() == flask[1].keys()
    assert ledger.sql("select distinct producer from millrace.events order by 1") == [("operator",), ("steps",)]
    entrance.operations.keys.revoke(entrance.id("steps"), by="test")
    wait(lambda: post(producer)[0] == 401, 11, "a revoked key is dead", step=0.5)
    found = [post(entrance.keys[Role.ADMIN])[0]]
    while found[-1] == 202 and len(found) < 200:
        found.append(post(entrance.keys[Role.ADMIN])[0])
    assert (found[0], found[-1]) == (202, 429)

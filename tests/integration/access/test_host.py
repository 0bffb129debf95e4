"""Keys, users and the log on the host, and what the doctor says of them."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service import cli, doctor
from service.domain.access import Role
from service.settings import Settings
from tests.entrance import PASSWORD, SECRET, Entrance
from tests.front import served
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


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
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here").role is Role.OPERATOR
    assert "ada" in millrace("users", "list").stdout
    assert json.loads(millrace("users", "sessions", "--json").output) == {"sessions": [], "count": 0}
    assert "0 sessions" in millrace("users", "sign-out", "ada", "--yes").output
    assert millrace("users", "role", "ada", "viewer").stdout == "ada is viewer\n"
    assert millrace("users", "disable", "ada", "--yes").stdout == "ada is disabled, and signed out\n"
    assert "disabled" in millrace("users", "list").stdout
    assert millrace("users", "enable", "ada").stdout == "ada may sign in again\n"
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here").role is Role.VIEWER
    assert millrace("users", "disable", "eve", "--yes").exit_code == 1
    assert millrace("users", "remove", "ada", "--yes").exit_code == 0
    assert millrace("users", "remove", "ada", "--yes").exit_code == 1
    assert json.loads(millrace("users", "list", "--json").stdout) == {"users": []}
    acts = ["user.added", "user.password", "user.role", "user.disabled", "user.enabled", "user.removed"]
    assert [e["act"] for e in entrance.log(act="user")] == acts


def test_lists_of_an_older_door_are_shown(millrace: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    user = {"name": "ada", "role": "viewer", "created_at": "2026-01-01T00:00:00Z", "created_by": None, "seen_at": None}
    session = {"name": "ada", "role": "viewer"} | dict.fromkeys(
        ("created_at", "seen_at", "ends_at"), user["created_at"]
    )
    answers = iter([{"users": [user]}, {"sessions": [session]}])
    monkeypatch.setattr("service.verbs.api.Api.get", lambda *args, **query: next(answers))
    for words in (("users", "list"), ("users", "sessions")):
        assert "ada" in millrace(*words).stdout


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

"""What must not be off by accident: each bad start, and that a good one is let through."""

from __future__ import annotations

import os

import pytest

from service import safety, settings
from service.domain import errors

#: Settings of a process whose servers are elsewhere, and which is right.
GOOD = {
    "database_url": "postgresql://u:w@db.test/d?sslmode=verify-full",
    "broker_url": "amqps://u:w@mq.test/v",
    "http": "0.0.0.0:5000",
    "allow_root": "1",
}

#: Name → (what is changed, the check that fails, words of its fault).
BAD: dict[str, tuple[dict[str, str], str, tuple[str, ...]]] = {
    "guest": ({"broker_url": "amqps://guest:guest@mq.test/"}, "broker user", ("MILLRACE_BROKER_URL", "a user")),
    "guest, unsaid": ({"broker_url": "amqps://mq.test/"}, "broker user", ("MILLRACE_BROKER_URL",)),
    "guest, quoted": ({"broker_url": "amqps://%67uest:guest@mq.test/"}, "broker user", ("MILLRACE_BROKER_URL",)),
    "broker in clear": ({"broker_url": "amqp://u:w@10.0.0.1/"}, "broker encryption", ("amqps://",)),
    "ledger in clear": ({"database_url": "postgresql://u:w@db.test/d"}, "ledger encryption", ("verify-full",)),
    "ledger in clear if it likes": (
        {"database_url": "postgresql://u:w@db.test/d?sslmode=prefer"},
        "ledger encryption",
        ("MILLRACE_ALLOW_PLAINTEXT",),
    ),
    "one ledger of two elsewhere": (
        {"database_url": "postgresql:///d?host=127.0.0.1&host=db.test"},
        "ledger encryption",
        ("verify-full",),
    ),
    "one ledger of two elsewhere, in one list": (
        {"database_url": "postgresql://u:w@/d?host=127.0.0.1,db.test&port=5432,5432"},
        "ledger encryption",
        ("verify-full",),
    ),
    "root": ({"allow_root": "0"}, "root", ("MILLRACE_ALLOW_ROOT",)),
    "metrics on the door": ({"http": "0.0.0.0:9101"}, "metrics port", ("MILLRACE_METRICS_PORT", "9101")),
    "metrics on another door": ({"metrics_port": "5000"}, "metrics port", ("MILLRACE_METRICS_PORT", "5000")),
}


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.delenv("FLASK_DEBUG", raising=False)
    monkeypatch.delenv("PGSSLMODE", raising=False)


def faults(role: str = "web", **changed: str) -> dict[str, str]:
    """The checks that fail, with what they say."""
    found = settings.Settings(**(GOOD | changed))  # type: ignore[arg-type]
    return {check.name: check.fault for check in safety.checks(found, role) if check.fault}


@pytest.mark.parametrize(("changed", "name", "words"), BAD.values(), ids=list(BAD))
def test_a_bad_start_is_refused_with_its_cure(changed: dict[str, str], name: str, words: tuple[str, ...]) -> None:
    found = faults(**changed)
    assert list(found) == [name]
    assert all(word in found[name] for word in words), found
    with pytest.raises(errors.SettingsError) as caught:
        safety.refuse(settings.Settings(**(GOOD | changed)), "web")  # type: ignore[arg-type]
    assert str(caught.value) == found[name]


def test_a_good_start_is_let_through() -> None:
    assert faults() == {}
    safety.refuse(settings.Settings(**GOOD), "web")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"broker_url": "amqp://u:w@mq.test/", "allow_plaintext": "1"},
        {"database_url": "postgresql://u:w@db.test/d", "allow_plaintext": "1"},
        {"database_url": "postgresql://u:w@db.test/d?sslmode=require"},
        {"database_url": "postgresql:///d?host=/run/postgresql"},
        {"database_url": "postgresql://u:w@/d?host=127.0.0.1,127.0.0.1&port=5432,5433&target_session_attrs=read-write"},
        {"database_url": "postgresql://u:a/b#c@[::1]:5432/d"},
        {"broker_url": "amqp://guest:guest@127.0.0.1/"},
        {"broker_url": "amqp://u:a@b@localhost:5672/%2Fv"},
        {"broker_url": "filesystem:///folder/with#x:y@z"},
        {"http": "127.0.0.1:5000", "database_url": "", "broker_url": "", "allow_root": "0"},
    ],
)
def test_what_is_meant_or_stays_here_is_let_through(changed: dict[str, str]) -> None:
    assert faults(**changed) == {}


def test_a_command_may_be_run_by_root() -> None:
    assert faults("migrate", allow_root="0") == {}
    assert faults("clock", allow_root="0") != {}


@pytest.mark.parametrize(("value", "fails"), [("1", True), ("0", False), ("", False)])
def test_flask_s_debugging_is_for_this_machine(monkeypatch: pytest.MonkeyPatch, value: str, fails: bool) -> None:
    monkeypatch.setenv("FLASK_DEBUG", value)
    assert ("debug" in faults()) is fails
    assert "debug" not in faults(http="127.0.0.1:5000")


def test_libpq_s_own_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert faults(database_url="postgresql://u:w@db.test/d") == {}


def test_content_beyond_json_is_refused() -> None:
    assert safety.accepts(["json"]) == ""
    assert "pickle" in safety.accepts(["json", "pickle"])


def test_every_fault_has_a_line() -> None:
    changed = GOOD | {"broker_url": "amqp://mq.test/", "database_url": "postgresql://u:w@db.test/d"}
    with pytest.raises(errors.SettingsError) as caught:
        safety.refuse(settings.Settings(**changed), "worker")  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 3

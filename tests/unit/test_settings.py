"""Settings: from the environment, once, with a clear line for each fault."""

from __future__ import annotations

import os
import pathlib

import pytest

from service import settings
from service.domain import errors

SECRET = "s3cr3t-word"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MILLRACE_"):
            monkeypatch.delenv(name)


def test_defaults_need_no_environment() -> None:
    found = settings.load()
    assert (found.http, found.host, found.port) == ("127.0.0.1:5000", "127.0.0.1", 5000)
    assert found.apps == ()


def test_apps_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_APPS", "one, two.three ,")
    assert settings.load().apps == ("one", "two.three")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MILLRACE_HTTP", "5000", "host:port"),
        ("MILLRACE_HTTP", "localhost:http", "host:port"),
        ("MILLRACE_WEB_THREADS", "many", "MILLRACE_WEB_THREADS"),
        ("MILLRACE_WEB_THREADS", "0", "greater than or equal to 1"),
        ("MILLRACE_DATABASE_URL", "sqlite:///x.db", "postgresql://"),
        ("MILLRACE_BROKER_URL", "redis://localhost", "amqp://"),
        ("MILLRACE_ACCEPT_DEADLINE", "-1", "MILLRACE_ACCEPT_DEADLINE"),
        ("MILLRACE_SOFT_LIMIT", "100", "MILLRACE_HARD_LIMIT must be larger"),
        ("MILLRACE_LOG_FORMAT", "xml", "MILLRACE_LOG_FORMAT"),
    ],
)
def test_a_bad_value_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(errors.SettingsError) as caught:
        settings.load()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://u:p%40ss@h/db\n")
    monkeypatch.setenv("MILLRACE_DATABASE_URL_FILE", str(secret))
    assert settings.load().database_url == "postgresql://u:p%40ss@h/db"


def test_files_of_tls_without_a_folder_stand_beside_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    given = {
        "DATABASE_URL": "postgresql://u:p@h/db?sslmode=verify-full&sslrootcert=ca.crt&sslkey=/k",
        "BROKER_URL": "amqps://u:p@h/v?cacertfile=ca.crt&certfile=client.crt&keyfile=sub/client.key",
    }
    for name, url in given.items():
        (tmp_path / name).write_text(url)
        monkeypatch.setenv(f"MILLRACE_{name}_FILE", str(tmp_path / name))
    found = settings.load()
    assert found.database_url == f"postgresql://u:p@h/db?sslmode=verify-full&sslrootcert={tmp_path}/ca.crt&sslkey=/k"
    beside = f"cacertfile={tmp_path}/ca.crt&certfile={tmp_path}/client.crt&keyfile=sub/client.key"
    assert found.broker_url == f"amqps://u:p@h/v?{beside}"
    # A word of libpq's: the authorities of the system.
    (tmp_path / "DATABASE_URL").write_text("postgresql://u@h/db?sslrootcert=system")
    assert settings.load().database_url == "postgresql://u@h/db?sslrootcert=system"
    # In the environment, an address is what it is.
    monkeypatch.delenv("MILLRACE_BROKER_URL_FILE")
    monkeypatch.setenv("MILLRACE_BROKER_URL", given["BROKER_URL"])
    assert settings.load().broker_url == given["BROKER_URL"]


def test_a_secret_in_two_places_or_none_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL_FILE", str(tmp_path))
    with pytest.raises(errors.SettingsError, match=r"MILLRACE_DATABASE_URL_FILE.*not a file"):
        settings.load()
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://x")
    with pytest.raises(errors.SettingsError, match="both set"):
        settings.load()


def test_what_is_missing_is_named_with_the_cure() -> None:
    with pytest.raises(errors.SettingsError, match=r"MILLRACE_DATABASE_URL is not set.*millrace up"):
        settings.load().require_servers()


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("DATABASE_URL", "postgresql://u:p@h:x/d", "port"),
        ("DATABASE_URL", "postgresql://u:p@h:99999/d", "port"),
        ("DATABASE_URL", "postgresql://h:5432,i:5432/d", "port"),
        ("DATABASE_URL", f"postgresql://u:a@{SECRET}@h/d", "%40"),
        ("BROKER_URL", "amqp://u:p@h:x/v", "port"),
        ("BROKER_URL", "amqp://[::1/v", "port"),
        ("BROKER_URL", f"amqp://u:{SECRET}/x@h/v", "%2F"),
        ("BROKER_URL", f"amqp://u:{SECRET}#x@h/v", "%23"),
    ],
)
def test_an_address_that_cannot_be_read_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str
) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", value)
    with pytest.raises(errors.SettingsError) as caught:
        settings.load()
    assert str(caught.value).startswith(f"MILLRACE_{name}: ")
    assert word in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://u:%40%2F%23%3A@h:5432/d?sslmode=require"),
        ("DATABASE_URL", "postgresql://u:a/b#c@[::1]:5432/d"),
        ("DATABASE_URL", "postgresql:///d?host=/run/postgresql"),
        ("DATABASE_URL", " postgresql://h/d\n"),
        ("BROKER_URL", "amqp://u:a@b@h:5672/%2Fv"),
        ("BROKER_URL", "amqps://[::1]:5671//\n"),
        ("BROKER_URL", "filesystem:///folder/with#x:y@z"),
    ],
)
def test_an_address_may_look_strange(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", value)
    assert getattr(settings.load(), name.lower()) == value.strip()

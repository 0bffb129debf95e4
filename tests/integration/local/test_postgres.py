"""A private PostgreSQL, for real: it starts, is killed, comes back, and says why it cannot."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy

from service.local import ports, spawn, unprivileged
from service.local.postgres import PostgresServer
from tests import servers


@pytest.fixture
def make_postgres(tmp_path: Path) -> Iterator[Callable[..., PostgresServer]]:
    """Makes servers that are stopped after the test."""
    servers.need_postgres()
    with contextlib.ExitStack() as stack:

        def make(name: str = "postgres", **options: object) -> PostgresServer:
            server = PostgresServer(tmp_path / name, **options)  # type: ignore[arg-type]
            stack.callback(server.stop)
            return server

        yield make


def test_both_addresses_of_a_new_cluster_work(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    server = make_postgres().start()
    with sqlalchemy.create_engine(server.url).connect() as connection:
        assert connection.scalar(sqlalchemy.text("select current_database()")) == "millrace"
    psycopg2.connect(server.dsn).close()
    assert server.execute("show fsync") == [("on",)]


def test_the_password_is_kept_for_the_owner_and_asked_for(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres().start()
    password = server.home / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.dsn.replace(password.read_text().strip(), "guessed"))


def test_a_second_start_finds_the_data_and_the_address_again(make_postgres: Callable[..., PostgresServer]) -> None:
    first = make_postgres().start()
    first.execute("create table kept as select 42 as answer", "millrace")
    first.stop()
    assert first.exit_code() == 0
    second = make_postgres().start()
    assert second.url == first.url
    assert second.execute("select answer from kept", "millrace") == [(42,)]


def test_a_killed_server_starts_again_on_its_data(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres().start()
    url = server.url
    server.execute("create table kept as select 42 as answer", "millrace")
    session = psycopg2.connect(server.dsn)
    server.kill()
    server.start()
    assert server.url == url
    assert server.execute("select answer from kept", "millrace") == [(42,)]
    session.close()


def test_a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    server = make_postgres().start()
    server.kill()
    pid_file = server.cluster.data / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert server.start().pid


def test_a_second_server_on_data_in_use_is_refused_in_one_line(
    make_postgres: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.local.postgres.LETTING_GO", 0.2)
    server = make_postgres().start()
    with pytest.raises(spawn.LocalError, match=rf"already runs on .* \(process {server.pid}\)"):
        make_postgres().start()


def test_a_wrong_setting_is_told_with_the_reason_of_the_server(make_postgres: Callable[..., PostgresServer]) -> None:
    with pytest.raises(spawn.LocalError, match="shared_buffers"):
        make_postgres(options={"shared_buffers": "much"}).start()


def test_a_taken_port_is_told_when_it_was_asked_for_and_avoided_when_not(
    make_postgres: Callable[..., PostgresServer],
) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(spawn.LocalError, match=f"port {port} is taken"):
            make_postgres(port=port).start()
        (make_postgres().home / "port.json").write_text(json.dumps({"postgres": port}))
        assert make_postgres().start().port != port


def test_tls_is_on_when_it_is_asked_for(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres(tls=True).start()
    assert server.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [(True,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to take another user's place")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_root_without_a_user_namespace_runs_it_as_another_user(
    make_postgres: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    ways = [way for way in unprivileged._ways() if way.owner != (0, 0)]
    monkeypatch.setattr(unprivileged, "_ways", lambda: iter(ways))
    (tmp_path / "deep").mkdir(mode=mode)
    server = make_postgres("deep/postgres").start()
    assert server.pid is not None
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    server.restart()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to take another user's place")
def test_root_without_any_way_is_told_the_cure(
    make_postgres: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "_ways", lambda: iter(()))
    with pytest.raises(spawn.LocalError, match="run this as an ordinary user"):
        make_postgres().start()


def test_a_wish_for_another_version_than_that_of_the_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("8\n")
    with pytest.raises(spawn.LocalError, match="PostgreSQL 8, which made this data, was not found"):
        PostgresServer(tmp_path).start()

"""PostgreSQL's roles: what each may do is what the table says, and the road is worked under them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
from collections.abc import Iterator

import httpx
import psycopg2
import pytest

from service.ledger import engine as engines
from service.ledger import grants, migrate, retention, schema
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import days, roles, servers
from tests.apps import ledger_app
from tests.door import TIMEOUT
from tests.monitoring import rules
from tests.patience import wait
from tests.processes import ROOT
from tests.road import Road

GRANTED = """
select c.relname::text, r.rolname::text, string_agg(left(p, 1), '' order by strpos('siud', left(lower(p), 1)))
from pg_class c cross join pg_roles r cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate',
    'references', 'trigger']) p
where c.relnamespace = 'millrace'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  and r.rolname = any(%s) and has_table_privilege(r.rolname, c.oid, p)
group by 1, 2
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Roles belong to a whole server, so it is one of our own."""
    servers.need_postgres()
    found = PostgresServer(tmp_path_factory.mktemp("postgres"), options=servers.FAST).start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def urls(server: PostgresServer) -> dict[str, str]:
    """A ledger that the migrator has made, by role."""
    return roles.prepare(server, "ledger")


@pytest.fixture(scope="module")
def road(
    server: PostgresServer, urls: dict[str, str], rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Road]:
    """Web, worker and clock, each under its own role."""
    folder = tmp_path_factory.mktemp("road")
    found = Road(server.dsn_of("ledger"), rabbitmq.add_vhost(f"roles-{os.getpid()}"), folder)
    roles.run(urls[grants.MIGRATOR], ledger_app.SCHEMA)
    found.declare()
    yield found
    found.stop()


def test_what_is_granted_is_what_the_table_says(server: PostgresServer, urls: dict[str, str]) -> None:
    found = {(table, role): letters for table, role, letters in _rows(server, GRANTED, list(grants.ROLES[1:]))}
    there = {name for (name,) in _rows(server, "select tablename::text from pg_tables where schemaname = 'millrace'")}
    wanted = {
        (table, role): letters
        for table, granted in grants.TABLES.items()
        for role, letters in zip(grants.ROLES[1:], granted, strict=True)
        if letters and table in there and table != "events_default"
    }
    assert found == wanted
    assert {t for t in there if not t.startswith("events_2")} <= set(grants.TABLES), "a table that nobody may touch"


def test_nobody_has_more_than_tables_and_a_few_functions(server: PostgresServer, urls: dict[str, str]) -> None:
    powers = _rows(
        server,
        "select rolname::text from pg_roles where rolname = any(%s) and (rolsuper or rolcreatedb or rolcreaterole"
        " or rolreplication or rolbypassrls or has_schema_privilege(rolname, 'millrace', 'create') and rolname <> %s"
        " or has_schema_privilege(rolname, 'public', 'create') and rolname <> %s)",
        list(grants.ROLES), grants.MIGRATOR, grants.MIGRATOR,
    )  # fmt: skip
    # What runs as its owner, and may be called by whom.
    callers = _rows(
        server,
        "select p.oid::regprocedure::text, r.rolname::text from pg_proc p, pg_roles r where p.prosecdef"
        " and p.pronamespace = 'millrace'::regnamespace and r.rolname = any(%s)"
        " and has_function_privilege(r.rolname, p.oid, 'execute')",
        list(grants.ROLES),
    )
    assert powers == []
    assert sorted((what.removeprefix("millrace."), role) for what, role in callers) == sorted(
        (function.replace(", ", ","), role) for function in grants.FUNCTIONS for role in (grants.CLOCK, grants.MIGRATOR)
    )


class Migrator:
    """What the tables' owner asks."""

    def __init__(self, url: str) -> None:
        self._url = url

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with contextlib.closing(psycopg2.connect(self._url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


def test_a_clock_removes_old_days_under_its_own_role(urls: dict[str, str]) -> None:
    old = days.ago(40)
    ledger = Migrator(urls[grants.MIGRATOR])
    days.make(ledger, old)
    days.fill(ledger, old, 3, "succeeded")
    days.fill(ledger, old, 1, "dead")
    engine = engines.Engine(urls[grants.CLOCK])
    found = retention.Retention(engine, keep=30 * 86_400.0, by="clock")
    assert found.take(now=True)
    assert [(day.day, day.word, day.kept) for day in found.clear().days] == [(old, "removed", 1)]
    engine.dispose()


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (grants.WEB, "delete from millrace.events"),
        (grants.WEB, "insert into millrace.dead (event_id, type, reason) values (gen_random_uuid(), 'a.b', 'failed')"),
        (grants.WEB, "update millrace.tallies set n = 0"),
        (grants.WORKER, "insert into millrace.events (id, type, payload) values (gen_random_uuid(), 'a.b', '{}')"),
        (grants.WORKER, "select from millrace.schedules"),
        (grants.WORKER, "delete from millrace.dead"),
        (grants.CLOCK, "delete from millrace.events"),
        (grants.CLOCK, "update millrace.dead set reason = ''"),
        (grants.CLOCK, "drop table millrace.attempts"),
        (grants.READER, "update millrace.events set state = 'succeeded'"),
        (grants.READER, "select fingerprint from millrace.idempotency_keys"),
        *((role, "create table millrace.mine ()") for role in grants.ROLES[1:]),
        *((role, "create table public.mine ()") for role in grants.ROLES[1:]),
        *((role, "select millrace.make_partitions(1)") for role in (grants.WEB, grants.WORKER, grants.READER)),
        *(
            (role, f"select millrace.{function}('2026-01-01', '{{}}', 0)")
            for role in (grants.WEB, grants.WORKER, grants.READER)
            for function in ("remove_day", "thin_day")
        ),
        *((role, "alter table millrace.events owner to current_user") for role in grants.ROLES[1:]),
    ],
)
def test_a_role_is_refused_what_it_need_not_do(urls: dict[str, str], role: str, statement: str) -> None:
    connection = psycopg2.connect(urls[role])
    try:
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
    finally:
        connection.close()


def test_the_migrator_may_ask_what_the_runbooks_ask(urls: dict[str, str]) -> None:
    """``docs/runbooks/README.md`` has operators of a host with roles ask by its address."""
    typed = [shlex.split(command) for book in rules.BOOKS for command in rules.checks(book)]
    asked = {words[words.index("-c") + 1] for words in typed if words[0] == "psql"}
    assert len(asked) > 20
    for statement in asked:
        roles.run(urls[grants.MIGRATOR], statement)


def test_handlers_and_views_reach_the_schemas_that_apps_make(server: PostgresServer) -> None:
    urls = roles.prepare(server, "apps")
    app = ROOT / "examples/numbers/numbers_app/migrations"
    for _ in range(2):
        migrate.migrate(urls[grants.MIGRATOR], [("numbers_app", app)])
    roles.run(urls[grants.MIGRATOR], "create table numbers.later (id bigint generated always as identity, n int)")
    roles.run(urls[grants.WORKER], "insert into numbers.requests (rid) values (1)")
    roles.run(urls[grants.WORKER], "insert into numbers.later (n) values (1); delete from numbers.later")
    for role in (grants.WEB, grants.READER):
        roles.run(urls[role], "select from numbers.requests; select from numbers.later")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            roles.run(urls[role], "insert into numbers.requests (rid) values (2)")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        roles.run(urls[grants.CLOCK], "select from numbers.requests")


def test_the_settings_of_the_road_hold_for_every_role(urls: dict[str, str]) -> None:
    for url in urls.values():
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute("select current_setting('plan_cache_mode')")
            assert cursor.fetchone() == ("force_custom_plan",)
        connection.close()


def test_the_script_may_be_run_again_and_again(server: PostgresServer, urls: dict[str, str]) -> None:
    before = _rows(server, GRANTED, list(grants.ROLES[1:]))
    roles.run(server.dsn_of("ledger"), grants.script())
    assert sorted(_rows(server, GRANTED, list(grants.ROLES[1:]))) == sorted(before)
    assert _rows(server, "select version_num::text from millrace.migrations") == [(schema.HEAD,)]


#: Pages of the console that ask the ledger; not those of keys, which a reader does not see.
PAGES = (
    "", "/live/overview", "/events", "/dead", "/live/dead", "/schedules", "/types", "/live/types",
    "/workers", "/live/workers", "/strays", "/audit",
)  # fmt: skip


def test_a_console_for_looking_shows_everything_and_changes_nothing(
    road: Road, urls: dict[str, str], tmp_path: pathlib.Path
) -> None:
    """As docs/postgresql.md has it started: on loopback, under the reader's role."""
    looking = Road(road.database, road.broker, tmp_path)
    try:
        _look(looking, urls[grants.READER])
    finally:
        looking.stop()


def _look(road: Road, url: str) -> None:
    (ticket,) = road.store("ledger.step", ["{}"])
    before = road.sql("select xmin::text, id::text, state from millrace.events order by id")
    door = road.web(database_url=url)
    for path in (*PAGES, f"/events/{ticket.event_ids[0]}", f"/live/events/{ticket.event_ids[0]}"):
        assert door.get(f"/console{path}").status == 200, path
    for path in ("audit", "audit/verify", "clocks", "dead", "deploys", "events", "pauses", "processes", "queues",
                 "schedules", "strays", "types", "workers"):  # fmt: skip
        assert door.get(f"/v1/{path}").status == 200, path
    for path, status in (
        ("events/ledger.step", 503),
        (f"events/{ticket.event_ids[0]}/cancel", 403),
        ("queues/events/pause", 403),
    ):
        answer = httpx.post(f"http://{door.address}/v1/{path}", json={}, timeout=TIMEOUT)
        assert answer.status_code == status, answer.text
    assert road.sql("select xmin::text, id::text, state from millrace.events order by id") == before
    door.process.wait_for_text("is not noted: PostgreSQL refuses it to the role of this process")
    assert "Traceback" not in road.logs()


@pytest.mark.heavy
def test_the_road_is_worked_by_processes_with_roles_of_their_own(road: Road, urls: dict[str, str]) -> None:
    door = road.web(database_url=urls[grants.WEB])
    road.worker(database_url=urls[grants.WORKER])
    road.clock(database_url=urls[grants.CLOCK])
    done = [door.post("ledger.step").id for _ in range(10)]
    retried = door.post("ledger.step", do="fail", times=1).id
    dead = door.post("ledger.step", do="fail", times=9).id
    road.assert_worked_once([*done, retried])
    road.wait_until_closed([dead])
    assert road.states([dead]) == {"dead": 1}
    # What comes to nothing on the broker, a clock files; a web process shows it.
    road.send(b"not ours", "millrace.events", {})
    wait(lambda: door.get("/v1/strays").document["strays"], 20, "the clock files what is not ours")
    # Operators work under the web's role.
    operator = road.run("replay", "service", "replay", dead, database_url=urls[grants.WEB])
    assert operator.wait_for_end() == 0, operator.text()
    for verb in ("rebuild", "doctor"):
        operator = road.run(verb, "service", verb, database_url=urls[grants.WEB])
        assert operator.wait_for_end() == 0, operator.text()
    looker = road.run("look", "service", "doctor", "--json", database_url=urls[grants.READER])
    assert looker.wait_for_end() == 0, looker.text()
    assert "permission denied" not in road.logs()


def _rows(server: PostgresServer, statement: str, *values: object) -> list[tuple[str, ...]]:
    connection = psycopg2.connect(server.dsn_of("ledger"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()
    finally:
        connection.close()

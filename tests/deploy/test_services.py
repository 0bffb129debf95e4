"""``deploy/compose``: what ``docs/deploy.md`` says is typed, and each of our services runs as it is written there."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from service.ledger import grants
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.deploy import compose, typed
from tests.deploy.containers import Containers
from tests.patience import wait
from tests.processes import ROOT

PAGE = (ROOT / "docs/deploy.md").read_text()
FIRST, KEYS, CANARY = typed.commands(PAGE[PAGE.index("\n## Compose") : PAGE.index("\n## systemd")])


@pytest.fixture(scope="module")
def containers(rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """A folder with what is deployed, and servers; roles belong to a whole PostgreSQL, so that is one of our own."""
    servers.need_postgres()
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), options=servers.FAST).start()
    found = Containers(server, rabbitmq, tmp_path_factory.mktemp("compose"))
    try:
        yield found
    finally:
        print(found.road.logs())  # noqa: T201  # Shown when a test has failed.
        found.road.stop()
        server.stop()


@pytest.mark.postgres
@pytest.mark.rabbitmq
class TestServices:
    """In this order: what a stranger types, and what comes of it."""

    def test_from_nothing_to_services_that_are_healthy_by_their_own_checks(self, containers: Containers) -> None:
        containers.type_in(FIRST)
        ours = compose.ours(containers.document)
        assert {s["command"][0] for s in ours.values()} == {"millrace", "celery"}
        assert sorted([*containers.daemons, "migrate"]) == sorted(ours)
        assert all(containers.running[name].code is None for name in containers.daemons)

    def test_the_first_key_and_the_first_event(self, containers: Containers) -> None:
        containers.type_in(KEYS)
        events = containers.road.ids("numbers.requested")
        assert len(events) == 1
        containers.road.wait_until_closed(events)
        assert containers.road.states(events) == {"succeeded": 1}

    def test_a_tick_goes_through_them(self, containers: Containers) -> None:
        ran = "select count(*) from millrace.events where schedule is not null and state = 'succeeded'"
        containers.road.sql("update millrace.schedules set next_due = now() where next_due > now()")
        wait(lambda: containers.road.one(ran) >= 1, 30, "a tick is worked")

    def test_each_works_under_a_role_and_a_user_of_its_own_and_misses_no_right(self, containers: Containers) -> None:
        seen = {
            usename
            for (usename,) in containers.road.sql(
                "select usename::text from pg_stat_activity where application_name like 'millrace-%'"
            )
        }
        assert seen == {grants.WEB, grants.WORKER, grants.CLOCK}
        lines = containers.node.ctl("list_connections", "user", "vhost").splitlines()
        found = {line.split()[0] for line in lines if line.split()[1:] == [containers.vhost]}
        assert found >= {"millrace-web", "millrace-worker", "millrace-clock"}
        assert not re.search("permission denied|ACCESS_REFUSED|Traceback", containers.road.logs())

    @pytest.mark.heavy
    def test_the_canary_gets_its_key(self, containers: Containers) -> None:
        containers.type_in(CANARY)
        # Those that came in by the door: ticks need no key. The first may find the door closed, while it starts again.
        ran = (
            "select count(*) from millrace.events"
            " where type like 'millrace.%' and schedule is null and state = 'succeeded'"
        )
        wait(lambda: containers.road.one(ran) >= 2, 40, "canaries are worked")

    def test_they_write_nothing_where_they_run(self, containers: Containers) -> None:
        folder = containers.road.folder
        written = [p for name in containers.daemons for p in (folder / name).iterdir() if p.suffix != ".log"]
        assert written == []

    def test_they_end_in_order_and_in_time(self, containers: Containers) -> None:
        for name in containers.daemons:
            os.kill(containers.running[name].pid, signal.SIGTERM)
        for name in containers.daemons:
            grace = compose.seconds(containers.document["services"][name]["stop_grace_period"])
            assert containers.running[name].wait_for_end(grace) == 0, name
        assert not any(containers.healthy(name) for name in containers.daemons)

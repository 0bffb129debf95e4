"""``deploy/compose``: what ``docs/deploy.md`` says is typed, and each of our services runs as it is written there."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import urllib.request
from collections.abc import Iterator

import pytest

from service.ledger import grants
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.deploy import compose, manifests, typed
from tests.deploy.containers import Containers
from tests.deploy.watchers import Watchers
from tests.patience import PATIENCE, wait
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

    def test_an_operators_shell_leads_into_them_as_the_runbooks_have_it(self, containers: Containers) -> None:
        page = (ROOT / "docs/runbooks/README.md").read_text()
        (functions,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "compose exec" in block]
        containers.shell.type_in(typed.Command(f"{functions}millrace dead --limit 10 > dead && echo well", "well\n"))
        within = "exec -T --env PGOPTIONS=-c statement_timeout=10s postgres"
        said = f"{within} psql --username=postgres --dbname=millrace -c select"
        shown = f'{functions}docker() {{ echo "$@"; }}\npsql "$MILLRACE_DATABASE_URL" -c select'
        containers.shell.type_in(typed.Command(shown, f"…{said}\n"))

    def test_the_probes_of_kubernetes_find_what_they_ask_for(self, containers: Containers) -> None:
        asked = 0
        for workload in manifests.of_kind(manifests.rendered("production"), "Deployment"):
            kind = workload["metadata"]["name"].partition("-")[0]
            service = next(name for name in containers.daemons if name.startswith(kind))
            (container,) = manifests.containers(workload)
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                get = container[probe]["httpGet"]
                place = containers.address if ports[get["port"]] == 5000 else f"127.0.0.1:{containers.metrics[service]}"
                with urllib.request.urlopen(f"http://{place}{get['path']}", timeout=20 * PATIENCE) as answer:
                    asked += answer.status == 200
        assert asked == 5 * 3

    def test_a_tick_goes_through_them(self, containers: Containers) -> None:
        ran = "select count(*) from millrace.events where schedule is not null and state = 'succeeded'"
        containers.road.sql("update millrace.schedules set next_due = now() where next_due > now()")
        wait(lambda: containers.road.one(ran) >= 1, 30, "a tick is worked")

    def test_prometheus_and_alertmanager_start_as_they_are_written_and_see_every_process(
        self, containers: Containers, tmp_path: pathlib.Path
    ) -> None:
        servers.need_prometheus()
        usual = {"web": 9101, "worker": 9102, "clock": 9103}
        here = {name: f"127.0.0.1:{port}" for name, port in containers.metrics.items()}
        places = {f"{name}:{usual[name.partition('-')[0]]}": address for name, address in here.items()}
        nobody = {"rabbitmq:15692": "127.0.0.1:1", "127.0.0.1:9095": "127.0.0.1:1"}
        found = Watchers(containers.document, tmp_path, places | nobody)
        wanted = {(f"millrace-{name.partition('-')[0]}", address) for name, address in here.items()}
        with found.running():

            def up() -> set[tuple[str, str]]:
                there = found.ask("targets")["activeTargets"]
                return {(t["labels"]["job"], t["labels"]["instance"]) for t in there if t["health"] == "up"}

            wait(lambda: up() == wanted, 30, f"all are seen: {wanted}", step=0.3)
            wait(lambda: found.ask("alertmanagers")["activeAlertmanagers"], 30, "Alertmanager is found", step=0.3)
            files = {pathlib.Path(group["file"]).name for group in found.ask("rules")["groups"]}
            assert files == {path.name for path in (ROOT / "monitoring/prometheus/rules").glob("*.yml")}

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
        if not containers.running:
            containers.type_in(FIRST)  # Without the quick ones, as in `make heavy`.
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


@pytest.mark.heavy
@pytest.mark.rabbitmq
def test_a_node_that_is_alone_starts_with_the_configuration_of_three(tmp_path: pathlib.Path) -> None:
    servers.need_rabbitmq()
    name = RabbitNode(tmp_path).folder.name
    lines = [line for line in (compose.FOLDER / "rabbitmq.conf").read_text().splitlines() if not line.startswith("#")]
    options = dict(line.split(" = ") for line in lines if line)
    for option, value in options.items():
        # The other two are not there.
        options[option] = {"rabbit@rabbitmq": name}.get(value, value.replace("rabbit@rabbitmq-", "absent@127.0.0."))
    node = RabbitNode(tmp_path, options=options, prometheus=True)
    try:
        node.start()
        assert "pause_minority" in node.ctl("eval", "application:get_env(rabbit, cluster_partition_handling).")
        with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics_port}/metrics", timeout=20) as answer:
            assert b"rabbitmq_identity_info" in answer.read()
        assert (node.home / "enabled_plugins").read_text() == (compose.FOLDER / "enabled_plugins").read_text()
    finally:
        node.stop()

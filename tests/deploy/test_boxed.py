"""``deploy/Dockerfile`` built by a real engine, and compose's services in containers, as the page types it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from service import __version__
from service.ledger import grants
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.deploy import compose, podman
from tests.deploy.boxes import Boxes
from tests.deploy.machine import Machine
from tests.deploy.podman import Podman
from tests.deploy.test_services import CANARY, FIRST, KEYS
from tests.patience import wait
from tests.processes import ROOT

pytestmark = [pytest.mark.heavy, pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """One with a base."""
    podman.need()
    servers.need_postgres()
    shared = tmp_path_factory.mktemp("shared")
    machine = Machine(tmp_path_factory.mktemp("machine"), shared, ROOT)
    try:
        found = Podman(machine.boot(), shared)
        found.make_base()
        yield found
    finally:
        machine.halt()


@pytest.fixture(scope="module")
def boxes(engine: Podman, rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    """Servers, and a folder with what is deployed."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), options=servers.FAST).start()
    found = Boxes(engine, server, rabbitmq, engine.folder)
    try:
        yield found
    finally:
        print(found.road.logs())  # noqa: T201  # Shown when a test has failed.
        found.road.stop()
        server.stop()


class TestBoxes:
    """In this order: what a stranger types, and what comes of it."""

    def test_from_nothing_to_containers_that_are_healthy_by_their_own_checks(self, boxes: Boxes) -> None:
        boxes.type_in(FIRST)
        assert all(boxes.running[name].code is None for name in boxes.daemons)

    def test_the_image_is_what_the_dockerfile_says(self, boxes: Boxes, engine: Podman) -> None:
        (image,) = json.loads(engine.run("image", "inspect", "localhost/millrace"))
        config = image["Config"]
        assert (config["User"], config["Cmd"], config["StopSignal"]) == ("10001:10001", ["millrace", "web"], "SIGTERM")
        assert image["HealthCheck" if "HealthCheck" in image else "Healthcheck"]["Test"][0] == "CMD"
        assert not re.search(r"pip|index|password|secret", json.dumps(config["Env"]), re.IGNORECASE)
        alone = ["run", "--rm", "--network=host", *podman.limits(), "localhost/millrace"]
        assert __version__ in engine.run(*alone, "millrace", "--version")
        gone = "import importlib.util as u; print([n for n in ('pip', 'setuptools', 'pytest') if u.find_spec(n)])"
        assert engine.run(*alone, "python", "-c", gone).strip() == "[]"
        left = engine.run(*alone, "find", "/build", "/apps", "/etc/pip.conf", "/root", "-type", "f", check=False)
        assert not re.search(r"^/(build|apps|root/\.cache)", left, re.MULTILINE), left

    def test_the_first_key_and_the_first_event(self, boxes: Boxes) -> None:
        boxes.type_in(KEYS)
        events = boxes.road.ids("numbers.requested")
        assert len(events) == 1
        boxes.road.wait_until_closed(events)
        assert boxes.road.states(events) == {"succeeded": 1}

    @pytest.mark.parametrize("name", [name for name, s in compose.ours(compose.read()).items() if "healthcheck" in s])
    def test_each_is_nobody_and_can_write_in_its_tmp_alone(self, boxes: Boxes, engine: Podman, name: str) -> None:
        said = engine.run("exec", name, "cat", "/proc/1/status")
        found = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        assert found["Uid"].split() == ["10001"] * 4
        assert {int(found[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd")} == {0}
        assert (found["NoNewPrivs"].strip(), found["Seccomp"].strip()) == ("1", "2")
        for folder in ("/", "/apps", "/opt/millrace", "/var", "/run", "/root", "/home"):
            said = engine.run("exec", name, "touch", f"{folder}/here", check=False)
            assert re.search("Read-only file system|Permission denied", said), (folder, said)
        engine.run("exec", name, "touch", "/tmp/here")
        assert "Read-only" in engine.run("exec", "--user=0", name, "touch", "/opt/here", check=False)

    def test_a_tick_and_the_canary_go_through_them(self, boxes: Boxes) -> None:
        boxes.road.sql("update millrace.schedules set next_due = now() where next_due > now()")
        ran = "select count(*) from millrace.events where schedule is not null and state = 'succeeded'"
        wait(lambda: boxes.road.one(ran) >= 1, 30, "a tick is worked")
        boxes.type_in(CANARY)
        ran = ran.replace("is not null", "is null and type like 'millrace.%%'").replace("%%", "%")
        wait(lambda: boxes.road.one(ran) >= 2, 40, "canaries are worked")

    def test_each_works_under_a_role_of_its_own_and_misses_no_right(self, boxes: Boxes) -> None:
        names = "select distinct usename::text from pg_stat_activity where application_name like 'millrace-%'"
        roles = {grants.WEB, grants.WORKER, grants.CLOCK}
        wait(lambda: {role for (role,) in boxes.road.sql(names)} == roles, 30, "all are seen")
        assert not re.search("permission denied|ACCESS_REFUSED|Read-only|Traceback", boxes.road.logs())

    def test_they_end_in_order_and_in_time(self, boxes: Boxes) -> None:
        for name in boxes.daemons:
            os.kill(boxes.running[name].pid, signal.SIGTERM)
        for name in boxes.daemons:
            grace = compose.seconds(boxes.document["services"][name]["stop_grace_period"])
            assert boxes.running[name].wait_for_end(grace) == 0, name

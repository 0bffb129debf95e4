"""``deploy/compose``: well formed, guarded, and each of our services runs as it is written there."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from service import settings
from service.broker import topology
from service.domain import topology as names
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from service.web import server
from tests.deploy import compose
from tests.door import Door, accepted
from tests.patience import wait
from tests.processes import ROOT, Process
from tests.road import Road

DOCUMENT = compose.read()
OURS = compose.ours(DOCUMENT)
THEIRS = {name: s for name, s in DOCUMENT["services"].items() if name not in OURS}
DAEMONS = [name for name, s in OURS.items() if "healthcheck" in s]
SCHEMA = json.loads((ROOT / "tests/deploy/assets/compose-spec.json").read_text())
WORKERS = [name for name in OURS if name.startswith("worker-")]
MARGIN = 10.0  #: seconds beside the longest handler


def prepare(folder: pathlib.Path) -> None:
    """Write the secrets."""
    subprocess.run([ROOT / "deploy/compose/prepare", folder], check=True, capture_output=True)


# --- as text --------------------------------------------------------------------------------------------------------


def test_the_file_fits_the_schema_of_compose() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load((compose.FOLDER / "compose.yaml").read_text()))
    jsonschema.Draft7Validator(SCHEMA).validate(DOCUMENT)


def test_the_schema_would_find_a_slip() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate({"services": {"web": {"imagee": "millrace"}}})


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert not service.get("privileged")


@pytest.mark.parametrize("name", OURS)
def test_every_setting_that_is_given_exists(name: str) -> None:
    for variable in OURS[name]["environment"]:
        field = variable.removeprefix(settings.PREFIX).removesuffix("_FILE").lower()
        assert field in settings.Settings.model_fields, variable


def test_no_secret_stands_in_the_file() -> None:
    for service in DOCUMENT["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|_URL_FILE", variable):
                assert str(value).startswith("/run/secrets/"), variable
    assert all(secret["file"].startswith("./secrets/") for secret in DOCUMENT["secrets"].values())


def test_every_port_is_published_on_this_host_only() -> None:
    published = [port for s in DOCUMENT["services"].values() for port in s.get("ports", ())]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_servers_can_be_reached_by_us_only() -> None:
    assert DOCUMENT["networks"]["servers"] == {"internal": True}
    for name in ("postgres", "rabbitmq", "rabbitmq-2", "rabbitmq-3"):
        assert list(THEIRS[name]["networks"]) == ["servers"], name


def test_every_image_may_be_pinned_by_digest() -> None:
    text = (compose.FOLDER / "compose.yaml").read_text()
    images = re.findall(r"^ +(?:image|PYTHON_IMAGE): (.*)", text, re.MULTILINE)
    assert len(images) == 7
    assert all(re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[\w./:-]+\}", image) for image in images), images


@pytest.mark.parametrize("name", [n for n in DOCUMENT["services"] if n not in ("migrate", "topology", "policies")])
def test_what_stays_up_is_looked_after(name: str) -> None:
    service = DOCUMENT["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert compose.seconds(service["stop_grace_period"]) >= 15


def test_who_is_told_to_stop_has_time_to_end() -> None:
    defaults = settings.Settings()
    for name in WORKERS:
        longest = max(defaults.hard_limit, defaults.grace)
        assert compose.seconds(OURS[name]["stop_grace_period"]) >= longest + MARGIN, name
    assert compose.seconds(OURS["web"]["stop_grace_period"]) >= server.STOP_AFTER + MARGIN


def test_every_queue_has_a_worker() -> None:
    taken = {q for name in WORKERS for q in _option(OURS[name]["command"], "-Q").split(",")}
    assert taken == {q.name for q in names.queues(frozenset({"http"}))} - {names.DEAD_QUEUE}


def test_the_policy_is_that_of_the_topology() -> None:
    command = THEIRS["policies"]["command"]
    assert command[command.index("set_policy") :] == topology.policy_words()


@pytest.mark.parametrize("role", ["web", "worker", "clock", "rabbitmq", "alertmanager"])
def test_prometheus_looks_at_every_process(role: str) -> None:
    (group,) = yaml.safe_load((compose.FOLDER / f"targets/{role}.yml").read_text())
    there = {name for name in DOCUMENT["services"] if name.startswith(role) and name[-2:] not in ("-2", "-3")}
    there |= {"clock-2"} if role == "clock" else set()
    assert {target.partition(":")[0] for target in group["targets"]} == there
    usual = yaml.safe_load((ROOT / f"monitoring/prometheus/targets/{role}.yml").read_text())[0]["targets"][0]
    assert {target.partition(":")[2] for target in group["targets"]} == {usual.partition(":")[2]}


def test_what_is_mounted_is_there() -> None:
    mounted = [v for s in DOCUMENT["services"].values() for v in s.get("volumes", ()) if v.startswith(".")]
    files = [volume.partition(":")[0] for volume in mounted] + [c["file"] for c in DOCUMENT["configs"].values()]
    assert len(files) > 10
    for path in files:
        assert (compose.FOLDER / path).exists(), path


def test_the_nodes_of_the_cluster_know_each_other() -> None:
    configuration = (compose.FOLDER / "rabbitmq.conf").read_text()
    hosts = {s["hostname"] for name, s in THEIRS.items() if name.startswith("rabbitmq")}
    assert set(re.findall(r"nodes\.\d = rabbit@(\S+)", configuration)) == hosts
    assert {s["networks"]["servers"]["aliases"][0] for n, s in THEIRS.items() if n.startswith("rabbitmq")} == {"broker"}


def test_secrets_are_made_once_and_kept_from_others(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "secrets"
    prepare(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    prepare(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert {pathlib.Path(secret["file"]).name for secret in DOCUMENT["secrets"].values()} == set(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    password = before["postgres_password"].strip()
    assert len(password) == 48
    assert before["database_url"] == f"postgresql://millrace:{password}@postgres:5432/millrace\n"
    assert before["broker_url"].split(":")[2].split("@")[0] in before["rabbitmq_user.conf"]


# --- as processes ---------------------------------------------------------------------------------------------------


class Containers:
    """Our services, each as a process with its own words and environment, on servers of the test."""

    def __init__(self, road: Road, secrets: pathlib.Path) -> None:
        self.road = road
        self.native = compose.Native(DOCUMENT, secrets)
        self.address = f"127.0.0.1:{ports.free()}"
        self.metrics = {name: ports.free() for name in DAEMONS}
        self.running: dict[str, Process] = {}

    def places(self, name: str) -> dict[str, str]:
        """What cannot be the same here: ports, which containers have to themselves, and the address of the door."""
        port = self.metrics.get(name, 0)
        return {"0.0.0.0:5000": self.address, "0.0.0.0": "127.0.0.1", "127.0.0.1:5000": self.address} | {
            f"127.0.0.1:{usual}": f"127.0.0.1:{port}" for usual in (9101, 9102, 9103)
        }

    def start(self, name: str) -> Process:
        """Start a service."""
        program, *words = OURS[name]["command"]
        environment = self.native.environment(name, self.places(name))
        path = os.pathsep.join([environment.pop("PYTHONPATH"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        if name in self.metrics:
            environment["MILLRACE_METRICS_PORT"] = str(self.metrics[name])
        kept = {"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONPATH": path}
        module = {"millrace": "service", "celery": "celery"}[program]
        folder = self.road.folder / name
        folder.mkdir()
        self.running[name] = Process(name, [module, *words], environment | kept, folder)
        folder.chmod(0o500)  # Nothing is written where it runs; root may, so its content is looked at as well.
        self.road.processes.append(self.running[name])
        return self.running[name]

    def healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        program, *words = self.native.health(name, self.places(name))
        assert program == "python"
        return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def containers(
    postgres: PostgresServer, rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    """All of our services, as compose starts them."""
    postgres.execute("create database compose")
    database, broker = postgres.dsn_of("compose"), rabbitmq.add_vhost(f"compose-{os.getpid()}")
    secrets = tmp_path_factory.mktemp("secrets")
    for name, text in {"database_url": database, "broker_url": broker}.items():
        (secrets / name).write_text(f"{text}\n")
    road = Road(database, broker, tmp_path_factory.mktemp("compose"))
    found = Containers(road, secrets)
    try:
        for name in ("migrate", "topology"):
            assert found.start(name).wait_for_end(60) == 0, found.running[name].text()
        for name in DAEMONS:
            found.start(name)
        yield found
    finally:
        print(road.logs())  # noqa: T201  # Shown when a test has failed.
        road.stop()


@pytest.mark.postgres
@pytest.mark.rabbitmq
class TestServices:
    """In this order: they become healthy, work, and stop."""

    def test_the_image_runs_one_program_per_service(self) -> None:
        assert {s["command"][0] for s in OURS.values()} == {"millrace", "celery"}
        assert sorted([*DAEMONS, "migrate", "topology"]) == sorted(OURS)

    def test_every_service_becomes_healthy_by_its_own_check(self, containers: Containers) -> None:
        for name in DAEMONS:
            wait(lambda n=name: containers.healthy(n), 60, f"{name} is healthy", step=0.3)

    def test_an_event_and_a_tick_go_through_them(self, containers: Containers) -> None:
        door = Door(containers.running["web"], containers.address)
        answer = door.post("numbers.requested", rid=1, numbers=[1, 2, 3], jobtodo=["sum", "sum", "sum"])
        (event,) = accepted([answer])
        containers.road.wait_until_closed([event])
        assert door.get(f"/v1/events/{event}").document["state"] == "succeeded"
        ran = "select count(*) from millrace.events where schedule is not null and state = 'succeeded'"
        containers.road.sql("update millrace.schedules set next_due = now() where next_due > now()")
        wait(lambda: containers.road.one(ran) >= 1, 30, "a tick is worked")

    def test_they_write_nothing_where_they_run(self, containers: Containers) -> None:
        written = [p for name in DAEMONS for p in (containers.road.folder / name).iterdir() if p.suffix != ".log"]
        assert written == []

    def test_they_end_in_order_and_in_time(self, containers: Containers) -> None:
        for name in DAEMONS:
            os.kill(containers.running[name].pid, signal.SIGTERM)
        for name in DAEMONS:
            grace = compose.seconds(OURS[name]["stop_grace_period"])
            assert containers.running[name].wait_for_end(grace) == 0, name
        assert not any(containers.healthy(name) for name in DAEMONS)


def _option(command: list[Any], name: str) -> str:
    return str(command[command.index(name) + 1])

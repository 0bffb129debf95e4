"""``deploy/systemd``: the units are right, say systemd's own tools; they may do little, and run as they are written."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator

import pytest

from service import bootstrap, client, settings
from service.broker import topology as broker_topology
from service.broker import users
from service.domain import topology
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from service.web import server
from tests import roles, servers
from tests.deploy import units
from tests.deploy.containers import PASSWORDS
from tests.door import Door
from tests.processes import ROOT, Process
from tests.road import Road

#: The exposure that `systemd-analyze security` may find, of 10. What is left is the network, which they are there for.
EXPOSURE = 1.5
MARGIN = 10  #: seconds
INSTANCES = [name.replace("@", "@events") for name in units.SERVICES]
HOST_UNITS = pathlib.Path("/usr/lib/systemd/system")


def install(root: pathlib.Path) -> str:
    """Lay the units out below a folder; what the script says."""
    words = [str(units.FOLDER / "install")]
    environment = {"PATH": os.environ["PATH"], "DESTDIR": str(root)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A root with our units, those of systemd, and programs where they belong."""
    if not shutil.which("systemd-analyze") or not HOST_UNITS.is_dir():
        if settings.environment("CI") == "true":
            pytest.fail("CI needs systemd-analyze")
        pytest.skip("needs systemd-analyze")
    found = tmp_path_factory.mktemp("root")
    install(found)
    shutil.copytree(HOST_UNITS, found / "usr/lib/systemd/system", symlinks=True)
    (found / "opt/millrace/bin").mkdir(parents=True)
    for name in ("millrace", "celery"):
        program = found / "opt/millrace/bin" / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return found


def secrets(folder: pathlib.Path, database: str = "postgresql://db.test/d", broker: str = "amqps://mq.test/") -> None:
    """What deploy/secrets makes."""
    subprocess.run([ROOT / "deploy/secrets", folder, database, broker], check=True, capture_output=True)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """What `systemd-analyze` says."""
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def complaints(root: pathlib.Path) -> list[str]:
    """What it has against our units; what it says of others' is not ours to mend."""
    done = analyze("verify", f"--root={root}", "millrace.target", *INSTANCES)
    return [line for line in done.stderr.splitlines() if "millrace" in line]


def test_systemd_has_nothing_against_them(root: pathlib.Path) -> None:
    assert complaints(root) == []


def test_it_would_say_so(root: pathlib.Path) -> None:
    unit = root / "etc/systemd/system/millrace-web.service"
    before = unit.read_text()
    try:
        unit.write_text(before.replace("Type=exec", "Type=exactly").replace("bin/millrace", "bin/millrice"))
        assert len(complaints(root)) >= 2
    finally:
        unit.write_text(before)


@pytest.mark.parametrize("name", INSTANCES)
def test_they_may_do_little(root: pathlib.Path, name: str) -> None:
    said = analyze("security", "--offline=yes", f"--root={root}", f"--threshold={int(EXPOSURE * 10)}", name)
    found = re.search(r"exposure level for \S+: ([\d.]+)", said.stdout)
    assert found, said.stderr
    assert float(found[1]) <= EXPOSURE, said.stdout
    table = analyze("security", "--offline=yes", f"--root={root}", "--json=short", name)
    bad = {row["json_field"] for row in json.loads(table.stdout) if row["set"] is False}
    assert not bad & {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateDevices", "UserOrDynamicUser"}


def test_the_script_lays_out_units_and_keeps_what_is_there(tmp_path: pathlib.Path) -> None:
    said = install(tmp_path)
    assert "still to write" in said
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    there.remove("usr/local/sbin/millrace")
    laid = {"millrace.target", *units.SERVICES, "millrace-.service.d/10-millrace.conf"}
    assert there == {f"etc/systemd/system/{name}" for name in laid} | {"etc/millrace/millrace.env"}
    assert stat.S_IMODE((tmp_path / "etc/millrace").stat().st_mode) == 0o700
    file = tmp_path / "etc/millrace/millrace.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("MILLRACE_APPS=shop\n")
    (tmp_path / "etc/millrace/web").mkdir()
    assert "still to write" not in install(tmp_path)
    assert file.read_text() == "MILLRACE_APPS=shop\n"


def test_settings_exist() -> None:
    text = (units.FOLDER / "millrace.env").read_text()
    given = {name for unit in map(units.read, units.SERVICES) for name in units.environment(unit)}
    for name in given | set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)):
        if name.startswith(settings.PREFIX):
            field = name.removeprefix(settings.PREFIX).removesuffix("_FILE").lower()
            assert field in settings.Settings.model_fields, name
    assert given >= {"MILLRACE_DATABASE_URL_FILE", "MILLRACE_BROKER_URL_FILE", "MILLRACE_ACCESS_SECRET_FILE"}


@pytest.mark.parametrize("name", units.SERVICES)
def test_each_service_is_handed_its_own_secrets_and_no_others(name: str, tmp_path: pathlib.Path) -> None:
    secrets(tmp_path)
    unit, kind = units.read(name), re.split("[-@.]", name)[1]
    handed = dict(value.split(":", 1) for value in units.values(unit, "Service", "LoadCredential"))
    there = {path.name for path in (tmp_path / kind).iterdir()}
    assert handed == {file: f"/etc/millrace/{kind}/{file}" for file in there}
    asked = {v.removeprefix("%d/") for v in units.environment(unit).values() if v.startswith("%d/")}
    assert asked == there
    assert not units.values(unit, "Service", "User"), "a user that services share"


def test_who_is_told_to_stop_has_time_to_end() -> None:
    defaults = settings.Settings()
    longest = max(defaults.hard_limit, defaults.grace)
    assert int(units.one(units.read("millrace-worker@.service"), "TimeoutStopSec")) >= longest + MARGIN
    assert int(units.one(units.read("millrace-web.service"), "TimeoutStopSec")) >= server.STOP_AFTER + MARGIN


@pytest.mark.parametrize("name", units.SERVICES)
def test_children_are_left_to_their_parents_and_bad_settings_alone(name: str) -> None:
    unit = units.read(name)
    assert units.one(unit, "KillMode") == "mixed"
    assert units.one(unit, "RestartPreventExitStatus") == str(bootstrap.MISCONFIGURED)
    restarts = units.values(unit, "Service", "Restart")
    assert restarts == ([] if units.one(unit, "Type") == "oneshot" else ["always"])


def test_the_target_wants_a_worker_for_each_queue_that_is_always_there() -> None:
    wanted = {word for value in units.values(units.read("millrace.target"), "Unit", "Wants") for word in value.split()}
    queues = {q.name for q in topology.queues(frozenset({"http"}))} - {topology.DEAD_QUEUE}
    workers = {f"millrace-worker@{queue}.service" for queue in queues}
    assert wanted == {"millrace-web.service", "millrace-clock.service"} | workers


# --- as processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def road(rabbitmq: RabbitNode, tmp_path: pathlib.Path) -> Iterator[Road]:
    """Servers with the roles and users, and files with addresses where the units look for them."""
    servers.need_postgres()
    server = PostgresServer(tmp_path / "postgres", options=servers.FAST).start()
    found = Road(server.dsn, rabbitmq.add_vhost(f"units-{os.getpid()}"), tmp_path)
    folder = tmp_path / "etc/millrace"
    install(tmp_path)
    (folder / "rabbitmq_passwords").write_text(PASSWORDS)
    places = [address.rpartition("@")[2] for address in (found.database, found.broker)]
    secrets(folder, f"postgresql://{places[0]}", f"amqp://{places[1]}")
    scripts = (ROOT / "deploy/postgresql/roles.sql", folder / "postgresql_passwords.sql")
    roles.run(server.dsn, "\n".join(path.read_text() for path in scripts))
    vhost = urllib.parse.unquote(found.broker.rpartition("/")[2])
    known = users.read_passwords(PASSWORDS)
    (tmp_path / "definitions.json").write_text(broker_topology.definitions(frozenset({"http"}), vhost, known))
    rabbitmq.ctl("import_definitions", str(tmp_path / "definitions.json"))
    try:
        yield found
    finally:
        print(found.logs())  # noqa: T201  # Shown when a test has failed.
        found.stop()
        server.stop()


def operate(road: Road, *words: str) -> str:
    """What an operator types on the host; what is printed, and nothing of what is told beside it."""
    text = (road.folder / "usr/local/sbin/millrace").read_text()
    text = text.replace("/etc/millrace", str(road.folder / "etc/millrace"))
    (road.folder / "operate").write_text(text.replace("/opt/millrace/bin/millrace", f'"{sys.executable}" -m service'))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    path = os.pathsep.join([str(ROOT / "examples/numbers"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["sh", road.folder / "operate", *words],
        env=kept | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(road: Road, name: str, instance: str = "", **settings: str) -> list[Process]:
    """A unit's own commands, with its environment, by processes that may do no more than under systemd."""
    unit, kind = units.read(name), re.split("[-@.]", name)[1]
    path = [str(ROOT / "examples/numbers"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path)} | settings
    environment |= {
        k: v.replace("%d", str(road.folder / "etc/millrace" / kind)) for k, v in units.environment(unit).items()
    }
    begun = []
    for number, command in enumerate(units.values(unit, "Service", "ExecStart")):
        program, *words = shlex.split(command.replace("${CHILDREN}", "2").replace("%i", instance).replace("%%", "%"))
        module = {"millrace": "service", "celery": "celery"}[pathlib.Path(program).name]
        begun.append(Process(f"{name}-{number}", ["tests.deploy.confined", module, *words], environment, road.folder))
        if units.one(unit, "Type") == "oneshot":
            assert begun[-1].wait_for_end(60) == 0, begun[-1].text()
    road.processes += begun
    return begun


@pytest.mark.heavy
@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_an_event_goes_through_the_units_as_they_are_written(road: Road) -> None:
    address = f"127.0.0.1:{ports.free()}"
    given = {"MILLRACE_APPS": "numbers_app", "MILLRACE_HTTP": address, "MILLRACE_METRICS_PORT": str(ports.free())}
    start(road, "millrace-migrate.service", **given)
    (web,) = start(road, "millrace-web.service", **given)
    daemons = [web, *start(road, "millrace-worker@.service", "events", **given)]
    daemons += start(road, "millrace-clock.service", **given)
    Door(web, address).wait_until_open()
    key = operate(road, "keys", "create", "ada", "--role", "admin").strip()
    door = client.Client(f"http://{address}", key=key)
    event = door.submit("numbers.requested", {"rid": 1, "numbers": [1], "jobtodo": ["sum"]})
    road.wait_until_closed([event.id], 60)
    assert road.states([event.id]) == {"succeeded": 1}
    assert "FAULT" not in operate(road, "doctor")
    assert not re.search("permission denied|ACCESS_REFUSED", road.logs())
    for process in daemons:
        os.kill(process.pid, signal.SIGTERM)
    for process in daemons:
        assert process.wait_for_end(30) == 0


def test_the_confinement_bites() -> None:
    """Else it would prove nothing."""
    program = (
        "import mmap; from tests.deploy import confined; confined.confine();"
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert b"PermissionError" in done.stderr

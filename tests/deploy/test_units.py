"""The units of systemd run as they are written, and are laid out as ``docs/deploy.md`` types it."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator

import pytest

from service import client
from service.broker import topology as broker_topology
from service.broker import users
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import roles, servers
from tests.deploy import units
from tests.deploy.containers import PASSWORDS
from tests.door import Door
from tests.processes import ROOT, Process
from tests.road import Road


@pytest.fixture
def road(rabbitmq: RabbitNode, tmp_path: pathlib.Path) -> Iterator[Road]:
    """Servers with the roles and users, and files with addresses where the units look for them."""
    servers.need_postgres()
    server = PostgresServer(tmp_path / "postgres", options=servers.FAST).start()
    found = Road(server.dsn, rabbitmq.add_vhost(f"units-{os.getpid()}"), tmp_path)
    folder = tmp_path / "etc/millrace"
    units.install(tmp_path)
    (folder / "rabbitmq_passwords").write_text(PASSWORDS)
    places = [address.rpartition("@")[2] for address in (found.database, found.broker)]
    units.secrets(folder, f"postgresql://{places[0]}", f"amqp://{places[1]}")
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
    (road.folder / "operate").write_text(text.replace(units.PROGRAM, f'"{sys.executable}" -m service'))
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


#: Makes an environment whose pip installs nothing; else it is Python.
NO_VENV = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec {python} "$@"
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" >> {folder}/installed\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


def lay_out(folder: pathlib.Path) -> dict[str, str]:
    """Type what the page has for a first version, in a checkout of what is committed; the environment it was in."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout with git")
    page = (ROOT / "docs/deploy.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (block,) = [text for language, text in blocks if not language and "-m venv" in text]
    root, checkout = folder / "root", folder / "checkout"
    (root / "opt").mkdir(parents=True)
    checkout.mkdir()
    typed = re.sub(r"(?<![\w.])/(opt|etc/millrace)\b", rf"{root}/\1", block)
    typed = typed.replace("deploy/systemd/install", f"DESTDIR={root} deploy/systemd/install")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MILLRACE_", "PYTHON", "VIRTUAL_ENV"))}
    kept["PATH"] = f"{folder}/bin:{kept['PATH']}"
    taken = f"git -C {shlex.quote(str(ROOT))} archive HEAD | tar -x"
    done = subprocess.run(
        ["bash", "-euc", f"{taken}\n{typed}"], cwd=checkout, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "opt/millrace").resolve().name == "millrace-0.1.0"
    assert "\nMILLRACE_APPS=numbers_app\n" in (root / "etc/millrace/millrace.env").read_text()
    return kept


def test_what_the_page_types_puts_everything_where_the_units_look(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(NO_VENV.format(python=sys.executable, folder=tmp_path))
    (tmp_path / "bin/python3").chmod(0o755)
    lay_out(tmp_path)
    given = tmp_path / "root/etc/millrace"
    for name in units.SERVICES:
        kind = re.split("[-@.]", name)[1]
        for value in units.values(units.read(name), "Service", "LoadCredential"):
            path = value.partition(":")[2].replace("%j", kind).removeprefix("/etc/millrace/")
            assert (given / path).is_file(), value
    locked, ours = (tmp_path / "installed").read_text().splitlines()
    assert locked == "install --require-hashes --no-deps -r locked.txt"
    assert ours == "install --no-deps --no-build-isolation . ./examples/numbers"


@pytest.mark.heavy
@pytest.mark.timeout(600)  # Sixty packages are fetched and unpacked.
def test_what_the_page_types_lays_a_version_out_that_runs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    kept = lay_out(tmp_path)
    root = tmp_path / "root"
    for words in (
        ["bin/millrace", "--version"],
        ["bin/celery", "--version"],
        ["bin/python", "-c", "import numbers_app"],
    ):
        subprocess.run(words, cwd=root / "opt/millrace", env=kept, check=True, capture_output=True)

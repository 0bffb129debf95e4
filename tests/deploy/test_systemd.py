"""``deploy/systemd``: the units are right, say systemd's own tools; they may do little, and run as they are written."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from service import bootstrap, settings
from service.domain import topology
from service.web import server
from tests.deploy import units
from tests.processes import ROOT

#: The exposure that `systemd-analyze security` may find, of 10: what the page says, and no more. What is left is the
#: network, which they are there for.
EXPOSURE = float(re.findall(r"exposure of ([\d.]+) of 10", (ROOT / "docs/deploy.md").read_text())[0])
MARGIN = 10  #: seconds
INSTANCES = [name.replace("@", "@events") for name in units.SERVICES]
HOST_UNITS = pathlib.Path("/usr/lib/systemd/system")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A root with our units, those of systemd, and programs where they belong."""
    if not shutil.which("systemd-analyze") or not HOST_UNITS.is_dir():
        if settings.environment("CI") == "true":
            pytest.fail("CI needs systemd-analyze")
        pytest.skip("needs systemd-analyze")
    found = tmp_path_factory.mktemp("root")
    units.install(found)
    shutil.copytree(HOST_UNITS, found / "usr/lib/systemd/system", symlinks=True)
    (found / "opt/millrace/bin").mkdir(parents=True)
    for name in ("millrace", "celery"):
        program = found / "opt/millrace/bin" / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return found


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """What `systemd-analyze` says."""
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def complaints(root: pathlib.Path) -> list[str]:
    """What it has against our units; what it says of others' is not ours to mend."""
    done = analyze("verify", f"--root={root}", "millrace.target", "millrace-web.socket", *INSTANCES)
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
    said = analyze("security", "--offline=yes", f"--root={root}", f"--threshold={round(EXPOSURE * 10)}", name)
    found = re.search(r"exposure level for \S+: ([\d.]+)", said.stdout)
    assert found, said.stderr
    assert float(found[1]) <= EXPOSURE, said.stdout
    assert said.returncode == 0
    table = analyze("security", "--offline=yes", f"--root={root}", "--json=short", name)
    bad = {row["json_field"] for row in json.loads(table.stdout) if row["set"] is False}
    assert not bad & {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateDevices", "UserOrDynamicUser"}


def test_the_script_lays_out_units_and_keeps_what_is_there(tmp_path: pathlib.Path) -> None:
    said = units.install(tmp_path)
    assert "still to write" in said
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    there.remove("usr/local/sbin/millrace")
    pages = {value for name in (*units.SERVICES, "millrace.target", "millrace-web.socket") for value in units.values(
        units.read(name), "Unit", "Documentation"
    )}  # fmt: skip
    assert pages == {"file:/usr/local/share/doc/millrace/deploy.md"}
    there.remove("usr/local/share/doc/millrace/deploy.md")
    laid = {"millrace.target", "millrace-web.socket", *units.SERVICES, "millrace-.service.d/10-millrace.conf"}
    assert there == {f"etc/systemd/system/{name}" for name in laid} | {"etc/millrace/millrace.env"}
    assert stat.S_IMODE((tmp_path / "etc/millrace").stat().st_mode) == 0o700
    file = tmp_path / "etc/millrace/millrace.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("MILLRACE_APPS=shop\n")
    (tmp_path / "etc/millrace/web").mkdir()
    assert "still to write" not in units.install(tmp_path)
    assert file.read_text() == "MILLRACE_APPS=shop\n"


def test_an_operator_has_the_rights_of_one_kind_of_process_and_the_code_of_one_version(tmp_path: pathlib.Path) -> None:
    units.install(tmp_path)
    new = tmp_path / "opt/millrace-9/bin/millrace"
    new.parent.mkdir(parents=True)
    new.write_text('#!/bin/sh\necho "$@" && env\n')
    new.chmod(0o755)
    text = (tmp_path / "usr/local/sbin/millrace").read_text()
    assert units.PROGRAM in text
    (tmp_path / "operate").write_text(text.replace("/etc/millrace", str(tmp_path / "etc/millrace")))
    # What the runbooks have a shell know, for psql and curl.
    known = {"MILLRACE_DATABASE_URL": "postgresql://x/y", "MILLRACE_URL": "http://127.0.0.1:5000"}
    for given, kind in (({}, "web"), ({"AS": "migrate"}, "migrate")):
        done = subprocess.run(
            ["sh", tmp_path / "operate", "topology", "plan"],
            env=known | given | {"CODE": str(tmp_path / "opt/millrace-9"), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        words, *lines = done.stdout.splitlines()
        found = dict(line.split("=", 1) for line in lines)
        assert words == "topology plan"
        assert found["MILLRACE_DATABASE_URL_FILE"] == str(tmp_path / "etc/millrace" / kind / "database_url")
        assert found["MILLRACE_BROKER_URL_FILE"] == str(tmp_path / "etc/millrace" / kind / "broker_url")
        assert found["MILLRACE_ACCESS"] == "on"
        assert not found.keys() & known.keys()


#: Lines of a file of settings, and what systemd makes of them: test_booted.py asks it.
LINES = {
    "MILLRACE_APPS=shop, stock": "shop, stock",
    "MILLRACE_OTLP_URL=http://collector:4318/?a=$HOME&b=`id`;c": "http://collector:4318/?a=$HOME&b=`id`;c",
    "MILLRACE_PUBLIC_URL='https://millrace.example'": "https://millrace.example",
    'MILLRACE_CANARY="0"': "0",
    "  MILLRACE_LOG_FORMAT=text  ": "text",
    "#MILLRACE_HTTP=127.0.0.1:1": None,
    ";MILLRACE_HTTP=127.0.0.1:2": None,
}


def test_an_operator_finds_the_settings_that_services_find(tmp_path: pathlib.Path) -> None:
    """A file of systemd's is no script."""
    units.install(tmp_path)
    (tmp_path / "etc/millrace/millrace.env").write_text("\n".join(LINES))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/millrace").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "bin/millrace").chmod(0o755)
    text = (tmp_path / "usr/local/sbin/millrace").read_text()
    (tmp_path / "operate").write_text(text.replace("/etc/millrace", str(tmp_path / "etc/millrace")))
    words = ["sh", tmp_path / "operate"]
    given = {"CODE": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(words, env=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    for line, value in LINES.items():
        assert found.get(line.strip("#; ").partition("=")[0]) == value, line


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
    units.secrets(tmp_path)
    unit, kind = units.read(name), re.split("[-@.]", name)[1]
    credentials = units.values(unit, "Service", "LoadCredential")
    handed = dict(value.replace("%j", kind).split(":", 1) for value in credentials)
    there = {path.name for path in (tmp_path / kind).iterdir()}
    asked = {v.removeprefix("%d/") for v in units.environment(unit).values() if v.startswith("%d/")}
    assert asked == there
    subprocess.run([ROOT / "deploy/certificates", tmp_path / "authority", tmp_path], check=True, capture_output=True)
    certificates = {path.name for path in (tmp_path / kind).iterdir()} - there
    assert handed == {file: f"/etc/millrace/{kind}/{file}" for file in there | certificates}
    # Where no server asks for them they may be missing: what has a default does not keep a unit from starting.
    defaults = {value.partition(":")[0] for value in units.values(unit, "Service", "SetCredential")}
    assert defaults == certificates == {"ca.crt", "client.crt", "client.key"}
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

"""``deploy/compose`` as text: well formed, and guarded. ``test_services.py`` runs it."""

from __future__ import annotations

import json
import pathlib
import re
import stat
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml

from service import settings
from service.broker import users
from service.domain import topology as names
from service.web import server
from tests.deploy import compose
from tests.processes import ROOT

DOCUMENT = compose.read()
OURS = compose.ours(DOCUMENT)
THEIRS = {name: s for name, s in DOCUMENT["services"].items() if name not in OURS}
SCHEMA = json.loads((ROOT / "tests/deploy/assets/compose-spec.json").read_text())
WORKERS = [name for name in OURS if name.startswith("worker-")]
MARGIN = 10.0  #: seconds beside the longest handler


def prepare(folder: pathlib.Path) -> None:
    """Write the secrets."""
    subprocess.run([ROOT / "deploy/compose/prepare", folder], check=True, capture_output=True)


# --- as text --------------------------------------------------------------------------------------------------------


def test_the_file_fits_the_schema_of_compose() -> None:
    for name in compose.FILES:
        jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load((compose.FOLDER / name).read_text()))
    jsonschema.Draft7Validator(SCHEMA).validate(DOCUMENT)


def test_an_image_of_ones_own_is_neither_hidden_nor_told_what_it_has() -> None:
    document = compose.read("compose.yaml", MILLRACE_IMAGE="registry.test/shop")
    found = {name: s for name, s in document["services"].items() if s["image"] == "registry.test/shop"}
    assert set(found) == set(OURS)
    for name, service in found.items():
        assert service.get("volumes", []) == [], name
        assert "MILLRACE_APPS" not in service["environment"], name


def test_a_folder_of_this_host_is_in_the_place_of_an_images_packages() -> None:
    document = compose.read(APPS_FOLDER="/srv/apps", MILLRACE_APPS="shop")
    assert set(compose.ours(document)) == set(OURS)
    for name, service in compose.ours(document).items():
        assert service["volumes"] == ["/srv/apps:/apps:ro"], name
        assert service["environment"]["MILLRACE_APPS"] == "shop", name
    more = yaml.safe_load((compose.FOLDER / "apps.yaml").read_text())
    assert set(more["services"]) == set(OURS)


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
    assert [volume.partition(":")[2] for volume in service["volumes"]] == ["/apps:ro"]
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
    assert len(images) == 8
    assert all(re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[\w./:-]+\}", image) for image in images), images


@pytest.mark.parametrize("name", [n for n in DOCUMENT["services"] if n not in ("migrate", "roles", "definitions")])
def test_what_stays_up_is_looked_after(name: str) -> None:
    service = DOCUMENT["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert compose.seconds(service["stop_grace_period"]) >= 15


@pytest.mark.parametrize("name", ["migrate", "roles", "definitions"])
def test_what_ends_is_waited_for_by_another(name: str) -> None:
    """Else `up --wait` takes its end for a failure."""
    waiting = [s for s in DOCUMENT["services"].values() if name in s.get("depends_on", ())]
    assert waiting
    assert {s["depends_on"][name]["condition"] for s in waiting} == {"service_completed_successfully"}


def test_who_is_told_to_stop_has_time_to_end() -> None:
    defaults = settings.Settings()
    for name in WORKERS:
        longest = max(defaults.hard_limit, defaults.grace)
        assert compose.seconds(OURS[name]["stop_grace_period"]) >= longest + MARGIN, name
    assert compose.seconds(OURS["web"]["stop_grace_period"]) >= server.STOP_AFTER + MARGIN


def test_every_queue_has_a_worker() -> None:
    taken = {q for name in WORKERS for q in _option(OURS[name]["command"], "-Q").split(",")}
    assert taken == {q.name for q in names.queues(frozenset({"http"}))} - {names.DEAD_QUEUE}


def test_each_kind_of_process_has_addresses_of_its_own() -> None:
    for name, service in OURS.items():
        kind = name.partition("-")[0]
        given = {secret["target"]: DOCUMENT["secrets"][secret["source"]]["file"] for secret in service["secrets"]}
        assert all(file.startswith(f"./secrets/{kind}/") for file in given.values()), name
        more = {"web": {"access_secret"}, "clock": {"canary_key"}}.get(kind, set())
        assert set(given) == {"database_url", "broker_url"} | more
        files = {v for v in service["environment"].values() if str(v).startswith("/run/secrets/")}
        assert files == {f"/run/secrets/{target}" for target in given}


def test_nobody_comes_in_without_a_key() -> None:
    assert [name for name, s in OURS.items() if "ports" in s] == ["web"]
    assert OURS["web"]["environment"]["MILLRACE_ACCESS"] == "on"


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
    before = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    prepare(folder)
    after = {path: (folder / path).read_text() for path in before}
    assert after == before
    wanted = {secret["file"].removeprefix("./secrets/") for secret in DOCUMENT["secrets"].values()}
    assert wanted == set(before) - {"rabbitmq_passwords"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir()) if path.is_dir()} == {0o700}
    modes = {path: stat.S_IMODE((folder / path).stat().st_mode) for path in before}
    written_later = {"clock/canary_key", "rabbitmq_definitions"}
    assert {modes.pop(path) for path in written_later} == {0o644}
    assert set(modes.values()) == {0o444}
    for path, text in before.items():
        assert re.search("[0-9a-f]{48}", text) or path in written_later, path
    for kind, role in {"migrate": "migrator", "web": "web", "worker": "worker", "clock": "clock"}.items():
        password = re.findall(f"alter role millrace_{role} password '(.*)'", before["postgresql_passwords.sql"])[0]
        address = f"postgresql://millrace_{role}:{password}@postgres:5432/millrace\n"
        assert before[f"{kind}/database_url"] == address
        user = "millrace-admin" if kind == "migrate" else f"millrace-{kind}"
        password = users.read_passwords(before["rabbitmq_passwords"])[user]
        assert before[f"{kind}/broker_url"] == f"amqp://{user}:{password}@broker:5672/\n"


def test_addresses_with_a_user_are_refused(tmp_path: pathlib.Path) -> None:
    words = [ROOT / "deploy/secrets", tmp_path / "s", "postgresql://me:secret@db/d", "amqp://mq/"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "millrace: addresses without user and password are wanted\n")
    assert not (tmp_path / "s").exists()


def _option(command: list[Any], name: str) -> str:
    return str(command[command.index(name) + 1])

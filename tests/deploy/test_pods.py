"""The pods of ``deploy/kubernetes``: they may do little, and fit the code: commands, probes, settings, time to end."""

from __future__ import annotations

import copy
import pathlib
import re
from typing import Any

import pytest

from service import safety, settings
from service.domain import topology
from service.telemetry import exposition
from service.web import server
from tests import memory
from tests.deploy import dockerfile, manifests, typed
from tests.processes import ROOT

ROLES = {"web": "web", "celery -A workers worker": "worker", "celery -A schedules beat": "clock"}
MARGIN = 10  #: seconds
FIELDS = settings.Settings.model_fields


def test_pods_are_restricted_and_a_little_more(found: list[manifests.Manifest]) -> None:
    assert len(manifests.workloads(found)) == 6
    for name, workload in manifests.workloads(found).items():
        assert manifests.complaints(workload) == [], name
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsUser"] == int(dockerfile.read()[1][-1].last("USER").split(":")[0])
        for container in manifests.containers(workload):
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")} == {"/tmp"}


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("securityContext", "runAsNonRoot"), False, "runAsNonRoot"),
        (("securityContext", "seccompProfile"), {}, "seccompProfile"),
        (("hostNetwork",), True, "hostNetwork"),
        (("volumes",), [{"name": "x", "hostPath": {"path": "/"}}], "volume hostPath"),
        (("containers", 0, "securityContext", "capabilities"), {"drop": []}, "capabilities"),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "allowPrivilegeEscalation"),
    ],
)
def test_a_pod_that_is_not_would_be_found(
    production: list[manifests.Manifest], path: tuple[Any, ...], value: Any, complaint: str
) -> None:
    workload = copy.deepcopy(manifests.named(production, "Deployment", "web"))
    place = workload["spec"]["template"]["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert manifests.complaints(workload) == [complaint]


def test_each_pod_runs_a_command_of_the_image(found: list[manifests.Manifest]) -> None:
    commands = [c["args"] for w in manifests.workloads(found).values() for c in manifests.containers(w)]
    assert {words[0] for words in commands} == {"millrace", "celery"}
    assert ["millrace", "web"] in commands
    assert ["millrace", "migrate"] in commands
    assert ["millrace", "topology", "apply"] in commands
    taken = {words[words.index("-Q") + 1] for words in commands if "-Q" in words}
    assert taken == {q.name for q in topology.queues(frozenset({"http"}))} - {topology.DEAD_QUEUE}


def test_probes_ask_pages_that_there_are(found: list[manifests.Manifest]) -> None:
    routes = {rule.rule for rule in memory.Road().client().application.url_map.iter_rules()}
    for name, workload in manifests.workloads(found).items():
        if workload["kind"] != "Deployment":
            continue
        (container,) = manifests.containers(workload)
        role = next(role for words, role in ROLES.items() if words in " ".join(container["args"]))
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["metrics"] == exposition.PORTS[role], name
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[kind]["httpGet"]
            if role == "web":
                assert ports[asked["port"]] == 5000
                assert asked["path"] in routes
            else:
                page = "/readyz" if (role, kind) == ("worker", "readinessProbe") else "/healthz"
                assert (asked["port"], asked["path"]) == ("metrics", page)  # Services and a lonely worker are asked.
        # Nobody is started again because a server is away.
        assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 120


def test_settings_exist_and_are_good(found: list[manifests.Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    (given,) = [m["data"] for m in manifests.of_kind(found, "ConfigMap")]
    values = {}
    for variable, value in given.items():
        if variable.startswith(settings.PREFIX):
            name = variable.removeprefix(settings.PREFIX)
            assert name.removesuffix("_FILE").lower() in settings.Settings.model_fields, variable
            values |= {} if name.endswith("_FILE") else {name.lower(): value}
    plain = settings.Settings(**values).allow_plaintext  # type: ignore[arg-type]
    scheme, mode = ("amqp", "") if plain else ("amqps", "?sslmode=verify-full")
    monkeypatch.setattr("os.getuid", lambda: 10001)
    servers = {"database_url": f"postgresql://u:w@db.test/d{mode}", "broker_url": f"{scheme}://u:w@mq.test/"}
    safety.refuse(settings.Settings(**(values | servers)), "web")  # type: ignore[arg-type]


def test_each_kind_of_process_finds_its_own_secret_and_no_other(
    found: list[manifests.Manifest], tmp_path: pathlib.Path
) -> None:
    """As ``docs/deploy.md`` makes the secrets."""
    page = (ROOT / "docs/deploy.md").read_text()
    (block,) = typed.commands(page[page.index("\n## Kubernetes") :])
    shell = typed.Shell(tmp_path, {})
    (tmp_path / "bin/kubectl").write_text('#!/bin/sh\necho "$*" >> calls\n')
    (tmp_path / "bin/kubectl").chmod(0o755)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    for command in block:
        shell.type_in(command)
    typed_there = (tmp_path / "calls").read_text()
    calls = re.findall(r"secret generic (\S+) --from-file=([^\s=]+)$", typed_there, re.MULTILINE)
    made = {name: {p.name for p in (tmp_path / folder).iterdir()} for name, folder in calls}
    for file in re.findall(r"(?:--cert=|--key=|ca.crt=)(\S+)", typed_there):
        assert (tmp_path / file).exists(), file
    for name, folder in calls:  # What the addresses name without a folder stands beside them.
        addresses = [path.read_text() for path in (tmp_path / folder).glob("*_url")]
        assert {file for text in addresses for file in re.findall(r"[?&]\w+=(\w+\.\w+)", text)} <= made[name]
        assert "keyfile=client.key" in "".join(addresses)
    (given,) = [m["data"] for m in manifests.of_kind(found, "ConfigMap")]
    for name, workload in manifests.workloads(found).items():
        volumes = {v["name"]: v for v in workload["spec"]["template"]["spec"]["volumes"]}
        secret = volumes["servers"]["secret"]["secretName"]
        assert secret == f"millrace-{name.partition('-')[0]}"
        assert {kind for volume in volumes.values() for kind in volume} == {"name", "secret", "emptyDir"}
        assert [v["secret"]["secretName"] for v in volumes.values() if "secret" in v] == [secret], name
        for container in manifests.containers(workload):
            folder = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "servers")
            own = {v["name"]: v["value"] for v in container.get("env", ())}
            paths = {path for variable, path in (given | own).items() if variable.endswith("_FILE")}
            assert paths <= {f"{folder}/{file}" for file in made[secret]}, name
            (source,) = container["envFrom"]
            assert manifests.named(found, "ConfigMap", source["configMapRef"]["name"])
            assert all(v.removeprefix("MILLRACE_").removesuffix("_FILE").lower() in FIELDS for v in own)


def test_nobody_comes_in_without_a_key(found: list[manifests.Manifest]) -> None:
    (web,) = manifests.containers(manifests.named(found, "Deployment", "web"))
    assert {"name": "MILLRACE_ACCESS", "value": "on"} in web["env"]


def test_who_is_told_to_stop_has_time_to_end(found: list[manifests.Manifest]) -> None:
    defaults = settings.Settings()
    for name, workload in manifests.workloads(found).items():
        pod = workload["spec"]["template"]["spec"]
        grace = pod["terminationGracePeriodSeconds"]
        if name.startswith("worker-"):
            assert grace >= max(defaults.hard_limit, defaults.grace) + MARGIN, name
            assert "lifecycle" not in pod["containers"][0]  # Nobody sends a worker requests: it may stop at once.
        if name == "web":
            before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            # As long as readiness needs to be lost, and more.
            ready = pod["containers"][0]["readinessProbe"]
            assert before >= ready["periodSeconds"] * ready["failureThreshold"]
            assert grace >= before + server.STOP_AFTER + MARGIN


def test_pods_are_spread(found: list[manifests.Manifest]) -> None:
    for workload in manifests.of_kind(found, "Deployment"):
        template = workload["spec"]["template"]
        keys = [c["topologyKey"] for c in template["spec"]["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        for constraint in template["spec"]["topologySpreadConstraints"]:
            assert manifests.selects(constraint["labelSelector"], template["metadata"]["labels"])

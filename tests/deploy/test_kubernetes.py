"""``deploy/kubernetes``: renders, fits Kubernetes' schemas, and fits the code: probes, settings, time to end."""

from __future__ import annotations

import copy
import json
import pathlib
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import safety, settings
from service.domain import topology
from service.telemetry import catalogue, exposition
from service.web import server
from tests import memory
from tests.deploy import dockerfile, kustomize, manifests, typed
from tests.monitoring import questions
from tests.processes import ROOT
from tests.repository import test_dashboards

#: Kinds that come with operators, and have no schema here.
FOREIGN = {"ScaledObject", "PodMonitor", "ServiceMonitor", "PrometheusRule", "RabbitmqCluster"}
#: The version of Kubernetes whose schemas are asked: the newest that the validator knows.
VERSION = kubernetes_validate.latest_version()
ROLES = {"web": "web", "celery -A workers worker": "worker", "celery -A schedules beat": "clock"}
MARGIN = 10  #: seconds
FIELDS = settings.Settings.model_fields


@pytest.fixture(params=manifests.OVERLAYS)
def found(request: pytest.FixtureRequest) -> list[manifests.Manifest]:
    """All manifests of an overlay."""
    return manifests.rendered(request.param)


@pytest.fixture
def production() -> list[manifests.Manifest]:
    """Those of the largest one."""
    return manifests.rendered("production")


@pytest.mark.parametrize("overlay", manifests.OVERLAYS)
def test_kubectl_renders_the_same(overlay: str) -> None:
    theirs = re.sub(r"\b(millrace-settings)-[a-z0-9]{10}\b", r"\1", _text(manifests.by_kubectl(overlay)))
    assert theirs == _text(manifests.rendered(overlay))


def _text(found: list[manifests.Manifest]) -> str:
    return json.dumps(sorted(found, key=_key), indent=1, sort_keys=True)


def _key(manifest: manifests.Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def test_what_is_not_known_is_not_passed_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("patches: []\n")
    with pytest.raises(ValueError, match="patches"):
        kustomize.render(tmp_path)


def test_what_is_built_in_fits_its_schema(found: list[manifests.Manifest]) -> None:
    known = [m for m in found if m["kind"] not in FOREIGN]
    assert len(known) >= 20
    for manifest in known:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_slip_would_be_found(production: list[manifests.Manifest]) -> None:
    wrong = manifests.named(production, "Deployment", "web")
    wrong["spec"]["replicas"] = "three"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_object_stands_in_one_namespace_and_is_there_once(found: list[manifests.Manifest]) -> None:
    keys = [(m["kind"], m["metadata"]["name"]) for m in found]
    assert len(set(keys)) == len(keys)
    (namespace,) = manifests.of_kind(found, "Namespace")
    others = {m["metadata"].get("namespace") for m in found if m["kind"] != "Namespace"}
    assert others == {namespace["metadata"]["name"]}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_nothing_secret_stands_in_them(found: list[manifests.Manifest]) -> None:
    assert manifests.of_kind(found, "Secret") == []
    text = yaml.safe_dump_all(found)
    assert not re.search(r"://[^\s/]+:[^\s/]+@", text)


# --- pods -----------------------------------------------------------------------------------------------------------


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
                assert (asked["port"], asked["path"]) == ("metrics", "/healthz")  # tests/deploy/test_compose.py asks.
        # Nobody is started again because a server is away.
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
    calls = re.findall(r"secret generic (\S+) --from-file=(\S+) --from-file=(\S+)", (tmp_path / "calls").read_text())
    made = {name: {*(p.name for p in (tmp_path / folder).iterdir()), file} for name, folder, file in calls}
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


# --- what stands around them ----------------------------------------------------------------------------------------


def test_every_deployment_has_a_disruption_budget(found: list[manifests.Manifest]) -> None:
    budgets = manifests.of_kind(found, "PodDisruptionBudget")
    for workload in manifests.of_kind(found, "Deployment"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert len([b for b in budgets if manifests.selects(b["spec"]["selector"], labels)]) == 1
    assert len(budgets) == 5


def test_everything_is_closed_but_what_is_opened(found: list[manifests.Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests.of_kind(found, "NetworkPolicy")}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    pods = {
        name: (w["spec"]["template"]["metadata"]["labels"], w["spec"]["template"]["spec"])
        for name, w in manifests.workloads(found).items()
    }
    for name in ("servers", "metrics"):
        assert all(manifests.selects(policies[name]["podSelector"], labels) for labels, _ in pods.values()), name
    for policy, workload in {"door": "web", "requests": "worker-http", "canary": "clock"}.items():
        taken = [n for n, (labels, _) in pods.items() if manifests.selects(policies[policy]["podSelector"], labels)]
        assert taken == [workload]
    named = {p["name"] for _, pod in pods.values() for c in pod["containers"] for p in c.get("ports", ())}
    assert policies["canary"]["egress"][0]["to"] == [{"podSelector": policies["door"]["podSelector"]}]
    rules = [rule for name in ("door", "metrics") for rule in policies[name]["ingress"]]
    assert {port["port"] for rule in rules for port in rule["ports"]} == named


def test_the_service_leads_to_the_door(found: list[manifests.Manifest]) -> None:
    service = manifests.named(found, "Service", "web")
    pod = manifests.named(found, "Deployment", "web")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] in {p["name"] for p in pod["spec"]["containers"][0]["ports"]}


def test_workers_are_scaled_by_depth_and_by_age(production: list[manifests.Manifest]) -> None:
    known = test_dashboards.OTHERS | {metric.name for metric in catalogue.CATALOGUE}
    scaled = manifests.of_kind(production, "ScaledObject")
    workers = {name for name in manifests.workloads(production) if name.startswith("worker-")}
    assert {s["spec"]["scaleTargetRef"]["name"] for s in scaled} == workers
    for one in scaled:
        worker = manifests.named(production, "Deployment", one["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in worker["spec"], "each rollout would undo the scaling"
        command = worker["spec"]["template"]["spec"]["containers"][0]["args"]
        queue = command[command.index("-Q") + 1]
        depth, age = one["spec"]["triggers"]
        assert (depth["name"], age["name"]) == ("depth", "age")
        assert (depth["metricType"], age["metricType"]) == ("AverageValue", "Value")
        for trigger in (depth, age):
            query = trigger["metadata"]["query"]
            assert questions.metrics(query) <= known
            assert f'queue="{queue}"' in query
        assert questions.metrics(age["metadata"]["query"]) == {"millrace_oldest_waiting_seconds"}


def test_prometheus_finds_every_pod_under_the_name_that_rules_ask_for(production: list[manifests.Manifest]) -> None:
    configured = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())["scrape_configs"]
    names = set()
    for monitor in manifests.of_kind(production, "PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        pods = [
            w["spec"]["template"]
            for w in manifests.of_kind(production, "Deployment")
            if manifests.selects(monitor["spec"]["selector"], w["spec"]["template"]["metadata"]["labels"])
        ]
        assert pods
        assert all(endpoint["port"] in {p["name"] for p in pod["spec"]["containers"][0]["ports"]} for pod in pods)
        names |= {rule["replacement"] for rule in endpoint["relabelings"]}
    for monitor in manifests.of_kind(production, "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            (rule,) = endpoint["relabelings"]
            names.add(rule["replacement"])
            (usual,) = [job for job in configured if job["job_name"] == rule["replacement"]]
            assert endpoint.get("path", "/metrics") == usual.get("metrics_path", "/metrics")
            assert endpoint.get("params") == usual.get("params")
    assert names == {job["job_name"] for job in configured}


def test_the_rules_are_those_of_prometheus(production: list[manifests.Manifest]) -> None:
    there = [group for m in manifests.of_kind(production, "PrometheusRule") for group in m["spec"]["groups"]]
    files = [p for p in (ROOT / "monitoring/prometheus/rules").glob("*.yml") if p.stem != "objectives"]
    wanted = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    assert sorted(there, key=lambda g: g["name"]) == sorted(wanted, key=lambda g: g["name"])


def test_the_broker_is_a_cluster_that_speaks_tls_alone(production: list[manifests.Manifest]) -> None:
    (cluster,) = manifests.of_kind(production, "RabbitmqCluster")
    assert cluster["spec"]["replicas"] == 3
    assert cluster["spec"]["tls"]["disableNonTLSListeners"] is True
    assert "cluster_partition_handling = pause_minority" in cluster["spec"]["rabbitmq"]["additionalConfig"]

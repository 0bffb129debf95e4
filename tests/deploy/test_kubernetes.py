"""``deploy/kubernetes``: renders, fits the schemas of Kubernetes and of operators, and what stands around the pods."""

from __future__ import annotations

import copy
import json
import pathlib
import re
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.telemetry import catalogue
from tests.deploy import dockerfile, kustomize, manifests, operators
from tests.monitoring import questions
from tests.processes import ROOT
from tests.repository import test_dashboards

#: Kinds that come with operators, which have schemas of their own.
FOREIGN = {"ScaledObject", "PodMonitor", "ServiceMonitor", "PrometheusRule", "RabbitmqCluster"}
#: The version of Kubernetes whose schemas are asked: the newest that the validator knows.
VERSION = kubernetes_validate.latest_version()


@pytest.mark.parametrize("overlay", manifests.OVERLAYS)
def test_kubectl_renders_the_same(overlay: str) -> None:
    theirs = re.sub(r"\b(millrace-settings)-[a-z0-9]{10}\b", r"\1", _text(manifests.by_kubectl(overlay)))
    assert theirs == _text(manifests.rendered(overlay))


def _text(found: list[manifests.Manifest]) -> str:
    return json.dumps(sorted(found, key=_key), indent=1, sort_keys=True)


def _key(manifest: manifests.Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


@pytest.mark.parametrize(
    ("anchor", "first", "second"),
    [("## Asking first", ["check-deploy"], ["plan"]), ("the Job anew", ["migrate", "--post"], ["apply"])],
)
def test_the_words_of_the_job_are_changed_as_the_page_says(anchor: str, first: list[str], second: list[str]) -> None:
    page = (ROOT / "docs/upgrades.md").read_text()
    line = re.compile(r"^kubectl kustomize \. \| (sed '.*') \| kubectl apply -l '(.*)' -f -$", re.MULTILINE)
    edit, selector = line.findall(page[page.index(anchor) :])[0]
    text = yaml.safe_dump_all(manifests.rendered("production"))
    done = subprocess.run(["sh", "-c", edit], input=text, capture_output=True, text=True, check=True)
    changed = list(yaml.safe_load_all(done.stdout))
    containers = manifests.containers(manifests.named(changed, "Job", "migrate"))
    assert [c["args"] for c in containers] == [["millrace", *first], ["millrace", "topology", *second]]
    job = manifests.named(changed, "Job", "migrate")["spec"]
    asks = "check-deploy" in first  # Once: what has something to say ends with 1.
    tried = (job["backoffLimit"], job["template"]["spec"]["restartPolicy"])
    assert tried == ((0, "Never") if asks else (30, "OnFailure"))
    before = [m for m in manifests.rendered("production") if m["kind"] != "Job"]
    assert [m for m in changed if m["kind"] != "Job"] == before, "something else was changed"
    names = selector.removeprefix("app.kubernetes.io/name in (").removesuffix(")").split(", ")
    taken = {m["kind"] for m in changed if m["metadata"].get("labels", {}).get("app.kubernetes.io/name") in names}
    assert taken == {"Job", "ConfigMap"}


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


def test_what_operators_bring_fits_theirs(found: list[manifests.Manifest]) -> None:
    for manifest in manifests.of_kind(found, *FOREIGN):
        assert list(operators.complaints(manifest)) == [], manifest["metadata"]["name"]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ScaledObject", ("spec", "triggers", 0, "metricTyp"), "Value"),
        ("ScaledObject", ("spec", "maxReplicaCount"), "20"),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "relabelings", 0, "action"), "keeps"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "params"), {"family": "queue_metrics"}),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expr"), None),
        ("RabbitmqCluster", ("spec", "tls", "disableNonTLSListener"), True),
    ],
)
def test_a_slip_in_those_would_be_found(
    production: list[manifests.Manifest], kind: str, path: tuple[Any, ...], value: Any
) -> None:
    manifest = copy.deepcopy(manifests.of_kind(production, kind)[0])
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(list(operators.complaints(manifest))) == 1


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


def test_every_deployment_has_a_disruption_budget(found: list[manifests.Manifest]) -> None:
    budgets = manifests.of_kind(found, "PodDisruptionBudget")
    for workload in manifests.of_kind(found, "Deployment"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert len([b for b in budgets if manifests.selects(b["spec"]["selector"], labels)]) == 1
    workloads = len(manifests.of_kind(found, "Deployment"))
    assert len(budgets) == workloads + len(manifests.of_kind(found, "RabbitmqCluster")) >= 5


def test_nobody_is_told_which_packages_an_image_has(found: list[manifests.Manifest]) -> None:
    (given,) = [m["data"] for m in manifests.of_kind(found, "ConfigMap")]
    assert "MILLRACE_APPS" not in given, "it would win over what the image says"
    own = [
        v["name"]
        for w in manifests.workloads(found).values()
        for c in manifests.containers(w)
        for v in c.get("env", ())
    ]
    assert "MILLRACE_APPS" not in own


def test_the_example_runs_an_image_that_has_it() -> None:
    images = {
        c["image"] for w in manifests.workloads(manifests.rendered("example")).values() for c in manifests.containers(w)
    }
    (image,) = images
    assert (
        f"docker build -t {image} --build-arg MILLRACE_IMAGE=millrace examples/numbers"
        in (ROOT / "docs/deploy.md").read_text()
    )
    folder = ROOT / "examples/numbers"
    stage = dockerfile.read(folder / "Dockerfile")[1][-1]
    name = stage.environment()["MILLRACE_APPS"]
    assert stage.all("COPY") == [f"{name} /apps/{name}"]
    assert (folder / name / "handlers.py").exists()


def test_an_image_is_taken_from_the_node_where_it_is_there(found: list[manifests.Manifest]) -> None:
    """Without a tag it is asked of a registry each time, and one that was built here is in none."""
    for workload in manifests.workloads(found).values():
        for container in manifests.containers(workload):
            assert re.search(r":(?!latest$)[^:/]+$", container["image"]), container["image"]


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
        assert questions.metrics(age["metadata"]["query"]) == {
            "millrace_oldest_waiting_seconds",
            "millrace_tickets_due",
        }


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
    assert cluster["spec"]["tls"]["caSecretName"] == "rabbitmq-ca"
    there = _values(cluster["spec"]["rabbitmq"]["additionalConfig"])
    usual = _values((ROOT / "deploy/rabbitmq/rabbitmq.conf").read_text())
    # What the operator writes itself; how much disk; and a name that later versions may drop.
    own = {"listeners.tcp", "listeners.ssl.1", "load_definitions", "prometheus.tcp.port", "queue_master_locator"}
    own |= {name for name in usual if name.startswith(("ssl_options.c", "ssl_options.k", "disk_free_limit"))}
    assert {n: v for n, v in usual.items() if n not in own} == {n: v for n, v in there.items() if "disk" not in n}


def _values(text: str) -> dict[str, str]:
    return dict(line.split(" = ") for line in text.splitlines() if line and not line.startswith("#"))

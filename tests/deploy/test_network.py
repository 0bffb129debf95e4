"""What the network policies of ``deploy/kubernetes`` close, and what opens the ways that a setting wants."""

from __future__ import annotations

import pathlib
import re

import kubernetes_validate
import pytest
import yaml

from service import settings
from tests.deploy import kustomize, manifests
from tests.processes import ROOT

VERSION = kubernetes_validate.latest_version()


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


#: What a setting has a process reach → whose pod, the port (None: any), and where it is: an address, or a namespace.
WAYS_OUT = {
    "the issuer of tokens": ("web", 443, "issuer"),
    "the collector of traces": ("clock", 4318, "traces"),
}


@pytest.mark.parametrize("what", WAYS_OUT)
def test_a_way_out_is_closed_until_its_component_is_named(what: str, tmp_path: pathlib.Path) -> None:
    workload, port, component = WAYS_OUT[what]
    folder = manifests.FOLDER
    resources = {"resources": [str(folder / "overlays/production")], "namespace": "millrace"}
    opened = resources | {"components": [str(folder / "components" / component)]}
    for plan, is_open in ((resources, False), (opened, True)):
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(plan))
        found = kustomize.render(tmp_path)
        for manifest in manifests.of_kind(found, "NetworkPolicy"):
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        assert (port in _ports_out(found, workload)) == is_open
    page = (ROOT / "docs/deploy.md").read_text()
    assert f"| `components/{component}`: {port}," in page


def _ports_out(found: list[manifests.Manifest], workload: str) -> set[object]:
    """The ports that a pod may reach somewhere; "any" where a rule names none."""
    labels = manifests.named(found, "Deployment", workload)["spec"]["template"]["metadata"]["labels"]
    policies = [m["spec"] for m in manifests.of_kind(found, "NetworkPolicy")]
    rules = [r for p in policies if manifests.selects(p["podSelector"], labels) for r in p.get("egress", ())]
    return {port["port"] for rule in rules for port in rule.get("ports", [{"port": "any"}])}


def test_the_page_says_of_every_setting_that_leads_out_what_opens_the_way() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    part = page[page.index("### What else is opened") :]
    for setting in ("oidc_issuer", "otlp_url", "request_networks"):
        assert setting in settings.Settings.model_fields
        assert f"`MILLRACE_{setting.upper()}`" in part.partition("```")[0]
    (shown,) = re.findall(r"```yaml\n(.*?)```", part, re.DOTALL)
    policy = yaml.safe_load(shown)
    kubernetes_validate.validate(policy, VERSION, strict=True)
    pods = [
        w["spec"]["template"]["metadata"]["labels"] for w in manifests.workloads(manifests.rendered("dev")).values()
    ]
    assert [p["app.kubernetes.io/name"] for p in pods if manifests.selects(policy["spec"]["podSelector"], p)] == [
        "worker-events"
    ]

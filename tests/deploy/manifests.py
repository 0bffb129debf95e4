"""The manifests of an overlay, rendered, and the pods in them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy import kustomize
from tests.processes import ROOT

FOLDER = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
Manifest = dict[str, Any]


def rendered(overlay: str) -> list[Manifest]:
    """All manifests of an overlay, anew for each who asks."""
    return kustomize.render(FOLDER / "overlays" / overlay)


def by_kubectl(overlay: str) -> list[Manifest]:
    """The same as kubectl, or kustomize, renders them; skips the test by name where neither is there."""
    words = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    if not shutil.which(words[0]):
        pytest.skip("needs kubectl or kustomize")
    done = subprocess.run([*words, FOLDER / "overlays" / overlay], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    """Those of these kinds."""
    return [manifest for manifest in found if manifest["kind"] in kinds]


def named(found: list[Manifest], kind: str, name: str) -> Manifest:
    """The one of this kind and name."""
    (one,) = [m for m in of_kind(found, kind) if m["metadata"]["name"] == name]
    return one


def workloads(found: list[Manifest]) -> dict[str, Manifest]:
    """Name → what makes pods of ours."""
    return {m["metadata"]["name"]: m for m in of_kind(found, "Deployment", "Job", "StatefulSet", "CronJob")}


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Its containers, those that run first as well."""
    pod = workload["spec"]["template"]["spec"]
    yield from pod.get("initContainers", ())
    yield from pod["containers"]


def complaints(workload: Manifest) -> list[str]:
    """What the Pod Security Standard "restricted" has against its pods."""
    pod = workload["spec"]["template"]["spec"]
    context = pod.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {kind}" for volume in pod.get("volumes", ()) for kind in set(volume) - {"name"} - allowed]
    for container in containers(workload):
        own = container.get("securityContext", {})
        both = context | own
        capabilities = own.get("capabilities", {})
        for name, well in {
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "privileged": not own.get("privileged"),
            "capabilities": capabilities.get("drop") == ["ALL"] and not capabilities.get("add"),
            "hostPort": not any("hostPort" in port for port in container.get("ports", ())),
        }.items():
            found += [] if well else [name]
    return found


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a selector by labels takes a pod with these."""
    return selector.get("matchLabels", {}).items() <= labels.items()

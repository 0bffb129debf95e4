"""What of kustomize our overlays use, so that they can be rendered where there is no kubectl.

``test_kubernetes.py`` compares it with kubectl's own rendering where that is there. Names of generated ConfigMaps carry
no hash here. What is not known is refused, not passed over.
"""

from __future__ import annotations

import copy
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml

KNOWN = {
    "apiVersion", "kind", "namespace", "labels", "resources", "components", "configMapGenerator", "replicas", "images"
}  # fmt: skip
Manifest = dict[str, Any]


def render(folder: pathlib.Path) -> list[Manifest]:
    """All manifests of a base or an overlay."""
    return _applied(folder, [])


def _applied(folder: pathlib.Path, found: list[Manifest]) -> list[Manifest]:
    """These manifests, and those of a folder, as its kustomization changes them."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(plan) - KNOWN:
        raise ValueError(f"{folder}: not known here: {', '.join(sorted(unknown))}")
    found = found + [manifest for path in plan.get("resources", ()) for manifest in _read(folder / path)]
    for path in plan.get("components", ()):
        found = _applied((folder / path).resolve(), found)
    for generator in plan.get("configMapGenerator", ()):
        _generate(found, generator)
    for manifest in found:
        if "namespace" in plan:
            _move(manifest, plan["namespace"])
        for entry in plan.get("labels", ()):
            _label(manifest, entry)
        for entry in plan.get("replicas", ()):
            if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == entry["name"]:
                manifest["spec"]["replicas"] = entry["count"]
        for entry in plan.get("images", ()):
            _rename(manifest, entry)
    return found


def _read(path: pathlib.Path) -> list[Manifest]:
    if path.is_dir():
        return render(path.resolve())
    return [copy.deepcopy(one) for one in yaml.safe_load_all(path.read_text()) if one]


def _generate(found: list[Manifest], generator: dict[str, Any]) -> None:
    data = dict(literal.split("=", 1) for literal in generator["literals"])
    behavior = generator.get("behavior", "create")
    if behavior == "merge":
        (one,) = [m for m in found if (m["kind"], m["metadata"]["name"]) == ("ConfigMap", generator["name"])]
        one["data"] |= data
    elif behavior == "create":
        options = generator.get("options", {})
        if set(options) - {"labels"}:
            raise ValueError(f"not known here: options {options}")
        metadata = {"name": generator["name"], "labels": dict(options.get("labels", {}))}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    else:
        raise ValueError(f"not known here: behavior {behavior}")


def _move(manifest: Manifest, namespace: str) -> None:
    if manifest["kind"] == "Namespace":
        manifest["metadata"]["name"] = namespace
    else:
        manifest["metadata"]["namespace"] = namespace


def _label(manifest: Manifest, entry: dict[str, Any]) -> None:
    manifest["metadata"].setdefault("labels", {}).update(entry["pairs"])
    if entry.get("includeTemplates") and "template" in manifest.get("spec", {}):
        manifest["spec"]["template"]["metadata"].setdefault("labels", {}).update(entry["pairs"])


def _rename(manifest: Manifest, entry: dict[str, str]) -> None:
    for container in _containers(manifest):
        if re.sub(r":[^:/]+$", "", container["image"]) == entry["name"]:  # Whatever tag it has.
            container["image"] = f"{entry.get('newName', entry['name'])}:{entry['newTag']}"


def _containers(manifest: Manifest) -> Iterator[dict[str, Any]]:
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    yield from pod.get("initContainers", ())
    yield from pod.get("containers", ())

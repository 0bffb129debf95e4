"""The kinds that operators bring to a cluster, held against those operators' own schemas.

``python -m tests.deploy.operators FILE.yaml …`` makes ``assets/operators/*.json`` of CustomResourceDefinitions; the
licence of each project lies beside them. What is there was made of these:

- kedacore/keda 8b4f083 (2.20), config/crd/bases; Apache 2.0
- prometheus-operator/prometheus-operator 6adcebc (0.93), example/prometheus-operator-crd; Apache 2.0
- rabbitmq/cluster-operator 06cda8e (2.22), config/crd/bases; MPL 2.0
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import yaml

FOLDER = pathlib.Path(__file__).parent / "assets/operators"
#: What says nothing of whether a document is good, or what JSON Schema does not know.
LEFT_OUT = {
    "description", "default", "format", "nullable", "example", "x-kubernetes-validations", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
}  # fmt: skip
#: Whole parts of Kubernetes' own kinds, repeated in an operator's: what stands below these is taken as it is.
OPEN = {"RabbitmqCluster": ("affinity", "override")}
Schema = dict[str, Any]


def complaints(manifest: dict[str, Any]) -> Iterator[str]:
    """What the operator that this manifest is for would have against it; what it would pass over is found, too."""
    kept = json.loads((FOLDER / f"{manifest['kind']}.json").read_text())
    if manifest["apiVersion"] != kept["apiVersion"]:
        yield f"apiVersion {kept['apiVersion']} is wanted"
    for error in jsonschema.Draft7Validator(kept["schema"]).iter_errors(manifest):
        yield f"{error.json_path}: {error.message}"


def kept(definition: dict[str, Any]) -> tuple[str, Schema]:
    """(kind, what is kept of it) of a CustomResourceDefinition."""
    spec = definition["spec"]
    kind = spec["names"]["kind"]
    (version,) = [one for one in spec["versions"] if one["storage"]]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"metadata": {"type": "object"}, "status": {}}
    schema["properties"]["spec"]["properties"] |= {name: {} for name in OPEN.get(kind, ())}
    return kind, {"apiVersion": f"{spec['group']}/{version['name']}", "schema": schema}


def strict(schema: Any) -> Any:
    """As JSON Schema, in which a field that is not known is an error; the API server would drop it without a word."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(part) for name, part in schema.items() if name not in {*LEFT_OUT, "properties"}}
    if found.pop("x-kubernetes-int-or-string", False):
        found.pop("type", None)  # It has an anyOf of both.
    anything = found.pop("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema:
        # Names of fields, whatever they are called: only what they hold is a schema.
        found["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
        if not anything:
            found.setdefault("additionalProperties", False)
    return found


if __name__ == "__main__":
    for path in sys.argv[1:]:
        kind, what = kept(yaml.safe_load(pathlib.Path(path).read_text()))
        (FOLDER / f"{kind}.json").write_text(json.dumps(what, separators=(",", ":")) + "\n")

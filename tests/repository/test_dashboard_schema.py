"""Grafana's own JSON schemas take the dashboards: every field is known, and is of the kind that Grafana reads.

The schemas are those of grafana-foundation-sdk 0.0.18, as they came, with their licence: ``assets/grafana``.
"""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import jsonschema
import pytest

from monitoring.grafana import boards, files
from monitoring.grafana.model import Kind

ASSETS = pathlib.Path(__file__).parent / "assets/grafana"
UIDS = [board.uid for board in boards.BOARDS]


@functools.cache
def validator(name: str, definition: str) -> jsonschema.Draft7Validator:
    """What checks one definition of a schema."""
    schema = _meant(json.loads((ASSETS / f"{name}.json").read_text()))
    return jsonschema.Draft7Validator({**schema, "$ref": f"#/definitions/{definition}"})


def _meant(node: Any) -> Any:
    """A schema as it is meant. Its generator writes ``any`` as an object, which would refuse texts; and of kinds
    that differ by a constant it loses the constant, so that more than one of them fits.
    """
    if isinstance(node, list):
        return [_meant(below) for below in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "object" and node.get("additionalProperties") == {}:
        return {}
    return {"anyOf" if name == "oneOf" else name: _meant(below) for name, below in node.items()}


def faults(name: str, definition: str, document: Any) -> list[str]:
    """What the schema says against it."""
    found = validator(name, definition).iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]


def panels(uid: str) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the heads of rows."""
    document = json.loads((files.FOLDER / f"{uid}.json").read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("uid", UIDS)
def test_the_dashboard_is_one(uid: str) -> None:
    document = json.loads((files.FOLDER / f"{uid}.json").read_text())
    assert faults("dashboard", "Dashboard", document) == []
    for panel in panels(uid):  # The schema of a dashboard says of them only that one of two kinds fits.
        assert faults("dashboard", "Panel", panel) == [], panel["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_has_the_options_of_its_kind(uid: str) -> None:
    for panel in panels(uid):
        name = Kind(panel["type"]).value.replace("-", "")
        assert faults(name, "Options", panel["options"]) == [], panel["title"]
        if panel["fieldConfig"]["defaults"]["custom"]:
            assert faults(name, "FieldConfig", panel["fieldConfig"]["defaults"]["custom"]) == [], panel["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_every_question_is_one_to_prometheus(uid: str) -> None:
    for panel in panels(uid):
        for target in panel["targets"]:
            assert faults("prometheus", "Dataquery", target) == [], panel["title"]


@pytest.mark.parametrize(
    ("name", "definition", "document"),
    [
        ("dashboard", "Dashboard", {"schemaVersion": 39, "templating": {}, "annotations": {}, "titel": "x"}),
        ("dashboard", "Panel", {"type": "stat", "title": 7}),
        ("stat", "Options", {"graphMode": "curve"}),
        ("timeseries", "FieldConfig", {"lineWidth": "thick"}),
        ("prometheus", "Dataquery", {"refId": "A", "expr": "up", "format": "tables"}),
    ],
)
def test_what_is_wrong_is_refused(name: str, definition: str, document: dict[str, Any]) -> None:
    assert faults(name, definition, document)

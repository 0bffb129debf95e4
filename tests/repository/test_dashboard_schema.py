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
#: What the generator of the schemas writes for ``any``: so written, it would refuse texts and numbers.
ANY = {"type": "object", "additionalProperties": {}}
UIDS = [board.uid for board in boards.BOARDS]


@functools.cache
def validator(name: str, definition: str) -> jsonschema.Draft7Validator:
    """What checks one definition of a schema."""
    schema = _with_any(json.loads((ASSETS / f"{name}.json").read_text()))
    return jsonschema.Draft7Validator({**schema, "$ref": f"#/definitions/{definition}"})


def _with_any(node: Any) -> Any:
    if node == ANY:
        return {}
    if isinstance(node, dict):
        return {name: _with_any(below) for name, below in node.items()}
    return [_with_any(below) for below in node] if isinstance(node, list) else node


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

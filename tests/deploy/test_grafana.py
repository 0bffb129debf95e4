"""What provisions Grafana: its files fit what Grafana reads, and the container of the compose file is given them."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy import compose
from tests.processes import ROOT

PROVISIONING = ROOT / "monitoring/grafana/provisioning"
GRAFANA = compose.read()["services"]["grafana"]
MOUNTED = {target: source for source, target, *_ in (volume.split(":") for volume in GRAFANA["volumes"])}


def _record(required: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
FLAG, NUMBER, FIRST = {"type": "boolean"}, {"type": "integer", "minimum": 1}, {"const": 1}
DURATION = {"type": "string", "pattern": r"^\d+[smh]$"}
#: By folder. "Provision Grafana" and "Configure the Prometheus data source" in Grafana's documentation, version 12.
SCHEMAS = {
    "datasources": _record(
        ("apiVersion", "datasources"),
        apiVersion=FIRST,
        prune=FLAG,
        deleteDatasources=_list(_record(("name",), name=TEXT, orgId=NUMBER)),
        datasources=_list(
            _record(
                ("name", "type", "uid", "access", "url"),
                name=TEXT,
                type={"const": "prometheus"},
                uid={"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
                access={"const": "proxy"},
                orgId=NUMBER,
                url=TEXT,
                isDefault=FLAG,
                editable=FLAG,
                version=NUMBER,
                jsonData=_record(
                    (),
                    httpMethod={"enum": ["GET", "POST"]},
                    timeInterval=DURATION,
                    queryTimeout=DURATION,
                    manageAlerts=FLAG,
                    prometheusType={"enum": ["Prometheus", "Cortex", "Mimir", "Thanos"]},
                    prometheusVersion=TEXT,
                    cacheLevel={"enum": ["Low", "Medium", "High", "None"]},
                    disableMetricsLookup=FLAG,
                    exemplarTraceIdDestinations={"type": "array"},
                ),
                secureJsonData={"type": "object"},
            )
        ),
    ),
    "dashboards": _record(
        ("apiVersion", "providers"),
        apiVersion=FIRST,
        providers=_list(
            _record(
                ("name", "type", "options"),
                name=TEXT,
                orgId=NUMBER,
                folder=TEXT,
                folderUid=TEXT,
                type={"const": "file"},
                disableDeletion=FLAG,
                allowUiUpdates=FLAG,
                updateIntervalSeconds=NUMBER,
                options=_record(("path",), path=TEXT, foldersFromFilesStructure=FLAG),
            )
        ),
    ),
}


def read(kind: str) -> dict[str, Any]:
    """The one file of a folder."""
    (path,) = (PROVISIONING / kind).iterdir()
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_file_fits_what_grafana_reads(kind: str) -> None:
    jsonschema.Draft7Validator(SCHEMAS[kind]).validate(read(kind))


def test_there_are_no_others() -> None:
    assert {path.name for path in PROVISIONING.iterdir()} == set(SCHEMAS)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("datasources", ("datasources", 0, "jsonDate"), {}),
        ("datasources", ("datasources", 0, "jsonData", "timeInterval"), 15),
        ("datasources", ("datasource",), []),
        ("dashboards", ("providers", 0, "options", "paths"), "/x"),
        ("dashboards", ("providers", 0, "updateIntervalSeconds"), "30s"),
    ],
)
def test_a_slip_would_be_found(kind: str, path: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(read(kind))
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMAS[kind]).validate(document)


def test_the_container_is_given_the_files_where_grafana_looks() -> None:
    assert (compose.FOLDER / MOUNTED["/etc/grafana/provisioning"]).resolve() == PROVISIONING
    (provider,) = read("dashboards")["providers"]
    boards = (compose.FOLDER / MOUNTED[provider["options"]["path"]]).resolve()
    assert boards == ROOT / "monitoring/grafana/dashboards"
    assert len(list(boards.glob("*.json"))) == 6


def test_what_the_files_ask_of_the_environment_is_there() -> None:
    (source,) = read("datasources")["datasources"]
    asked = set(re.findall(r"\$\{?(\w+)", source["url"]))
    assert asked <= set(GRAFANA["environment"])
    url = re.sub(r"\$\{(\w+)\}", lambda found: GRAFANA["environment"][found[1]], source["url"])
    host, port = url.removeprefix("http://").split(":")
    (published,) = compose.read()["services"][host]["ports"]
    assert published.endswith(f":{port}")


def test_every_panel_asks_the_data_source_that_is_made() -> None:
    (source,) = read("datasources")["datasources"]
    for path in (ROOT / "monitoring/grafana/dashboards").glob("*.json"):
        uids = set(re.findall(r'"datasource": \{[^}]*"uid": "([^"]+)"', path.read_text()))
        variables = {v["name"] for v in json.loads(path.read_text())["templating"]["list"] if v["type"] == "datasource"}
        assert uids - {"-- Grafana --"} <= {source["uid"], *(f"${{{name}}}" for name in variables)}
        assert uids

"""The API's document and its page, without a ledger: complete, sound, and with nothing from another host."""

from __future__ import annotations

import html.parser
import json
import re
from typing import Any

import click.testing
import pydantic
import pytest
from flask.testing import FlaskClient

from service import cli
from service.domain import errors as domain
from service.domain import handlers
from service.web import access, errors
from service.web.openapi import document, operations
from tests.memory import Road
from workers.face import parser


class Line(pydantic.BaseModel):
    """A part of an order."""

    article: str


class Order(pydantic.BaseModel):
    """An order."""

    order: int
    lines: list[Line] = []


def nothing(payload: Any, ctx: Any) -> None:
    """Do nothing."""


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    order = handlers.Handler("orders.created", nothing, payload=Order, parse=parser(Order), doc="Take an <order>.")
    any_json = handlers.Handler("orders.any", nothing)
    odd = handlers.Handler("orders.odd", nothing, payload=type, parse=lambda payload: None)
    client = Road(order, any_json, odd).client()
    client.application.add_url_rule("/of/an/app/<int:number>", endpoint="theirs", view_func=nothing, methods=["PUT"])
    return client


@pytest.fixture(scope="module")
def described(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found: dict[str, Any] = answer.get_json()
    return found


def shape(path: str) -> str:
    return re.sub(r"[<{][^>}]*[>}]", "{}", path)


def test_every_rule_of_the_url_map_stands_in_the_document(client: FlaskClient, described: dict[str, Any]) -> None:
    found = {(shape(path), method) for path, item in described["paths"].items() for method in item}
    for rule in client.application.url_map.iter_rules():
        if not rule.rule.startswith(document.LEFT_OUT):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                assert (shape(rule.rule), method.lower()) in found, f"{method} {rule.rule}"


def test_every_endpoint_of_ours_is_described_and_no_other(client: FlaskClient) -> None:
    ours = {rule.endpoint for rule in client.application.url_map.iter_rules()} - {"theirs"}
    assert operations.OPERATIONS.keys() <= ours
    # What is added elsewhere may be described later; what there was must stay so.
    assert {e for e in ours if e.partition(".")[0] in ("api", "envelopes", "letters", "operations", "schedules")} <= (
        operations.OPERATIONS.keys()
    )


def test_every_path_names_what_varies_in_it_and_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1.")
    ids = [operation["operationId"] for item in described["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    shapes = [shape(path) for path in described["paths"]]
    assert len(shapes) == len(set(shapes)), "two templates of one shape are one path (section 4.8.8.2)"
    for path, item in described["paths"].items():
        for operation in item.values():
            named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert named == set(re.findall("{([^}]*)}", path)), path
            assert operation["summary"], path
    for name in re.findall(r'"\$ref": ?"([^"]*)"', json.dumps(described)):
        found: Any = described
        for part in name.removeprefix("#/").split("/"):
            found = found[part]


def test_each_type_has_a_path_with_the_schema_of_its_payload(described: dict[str, Any]) -> None:
    post = described["paths"]["/v1/events/orders.created"]["post"]
    assert post["summary"] == "Take an <order>."
    assert post["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/payload.orders.created"
    }
    schemas = described["components"]["schemas"]
    assert schemas["payload.orders.created"]["properties"]["lines"]["items"] == {
        "$ref": "#/components/schemas/payload.orders.created.Line"
    }
    assert schemas["payload.orders.created.Line"]["required"] == ["article"]
    for name in ("orders.any", "orders.odd"):  # Any JSON, and what no schema can say.
        content = described["paths"][f"/v1/events/{name}"]["post"]["requestBody"]["content"]
        assert content == {"application/json": {"schema": {}}}


def test_each_problem_that_a_request_may_meet_is_named_where_it_may_be_met(described: dict[str, Any]) -> None:
    told = json.dumps(described["paths"])
    users = {domain.UserNotFound, domain.UserExists, domain.OwnUser}  # They are made on the host.
    for known in errors.STATUS.keys() - users:
        assert f"/problems/{errors.slug(known)}`" in told, known
    post = described["paths"]["/v1/events/{event_id}"]["post"]["responses"]
    assert {"200", "202", "400", "404", "408", "413", "415", "422", "500", "503"} <= post.keys()


def test_who_may_do_it_is_told_with_each_operation(client: FlaskClient, described: dict[str, Any]) -> None:
    view = client.application.view_functions["explain.explain_event"]
    operation = described["paths"]["/v1/events/{event_id}/explain"]["get"]
    permission = access.needed(view)
    assert permission is not None
    assert operation["x-permission"] == permission.value
    assert {"401", "403"} <= operation["responses"].keys()
    assert "401" not in described["paths"]["/openapi.json"]["get"]["responses"]


def test_the_examples_are_taken(client: FlaskClient) -> None:
    """Those of bodies that a door takes without a ledger."""
    taken = 0
    for media_type, media in operations.OPERATIONS["envelopes.take_events"].body.items():
        body = media.example if isinstance(media.example, str) else json.dumps(media.example)
        answer = client.post("/v1/events", data=body, content_type=media_type)
        assert answer.status_code == 202, answer.text
        taken += 1
    assert taken == 3


class Page(html.parser.HTMLParser):
    """What a page asks for, and what it does itself."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.forbidden: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self._open.append(tag)
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "style", "iframe", "object", "img"):
            self.forbidden.append(tag)
        self.forbidden += [name for name in given if name == "style" or name.startswith("on")]
        self.asked += [given["href"]] if tag == "link" else []
        self.links += [given["href"]] if tag == "a" else []
        self.ids += [given["id"]] if "id" in given else []

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag


def test_the_page_has_nothing_from_another_host_and_nothing_inline(client: FlaskClient) -> None:
    answer = client.get("/docs")
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = Page(answer.text)
    assert (page.asked, page.forbidden) == (["/docs/style.css"], [])
    assert client.get(page.asked[0]).content_type == "text/css; charset=utf-8"
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else client.get(link).status_code == 200, link
    assert "Take an &lt;order&gt;." in answer.text


def test_the_page_shows_every_operation(client: FlaskClient, described: dict[str, Any]) -> None:
    page = Page(client.get("/docs").text)
    assert {o["operationId"] for item in described["paths"].values() for o in item.values()} <= set(page.ids)


def test_the_command_prints_the_same_document(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "APPS"):
        monkeypatch.delenv(f"MILLRACE_{name}", raising=False)
    answer = click.testing.CliRunner().invoke(cli.main, ["openapi"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.output)["paths"].keys() >= {"/v1/events", "/openapi.json"}

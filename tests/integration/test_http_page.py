"""``docs/http.md``: its examples run as they stand there, and it names every route and parameter."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from service.web import ndjson, search, timing
from service.web.openapi.document import LEFT_OUT
from tests.front import Front, worked
from tests.ledgers import Ledger
from tests.memory import Road
from tests.repository.pages import ROOT
from workers import face

PAGE = (ROOT / "docs/http.md").read_text()


@dataclasses.dataclass
class Example:
    """One call of curl, and the status that the page promises."""

    words: list[str]
    body: bytes | None
    status: int

    method: str = "GET"
    target: str = ""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        words = iter(self.words[1:])
        for word in words:
            if word == "-X":
                self.method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                self.headers[name] = value
            elif word in ("--json", "-d", "--data-binary"):
                value = next(words)
                self.method = "POST" if self.method == "GET" else self.method
                self.body = self.body if value == "@-" else value.encode()
                if word == "--json":
                    self.headers["Content-Type"] = "application/json"
            elif word != "-i":
                self.target = word

    def run(self, client: FlaskClient) -> Any:
        place = urlsplit(f"//{self.target}")
        assert place.netloc == "localhost:5000"
        return client.open(f"{place.path}?{place.query}", method=self.method, headers=self.headers, data=self.body)


def examples(**ids: str) -> list[Example]:
    """All calls of the page, in order, with these ids in the places of their names."""
    found = []
    page = re.sub(r"\$([A-Z]+)", lambda name: ids.get(name[1].lower(), name[0]), PAGE)
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for command, status in re.findall(r"(curl .*?)\n# (\d{3})\n", block, re.DOTALL):
            call, _, rest = command.partition(" <<'END'\n")
            body = rest.removesuffix("END").encode() if rest else None
            found.append(Example(shlex.split(call), body, int(status)))
    return found


@pytest.mark.postgres
def test_every_example_is_answered_as_the_page_says(database: str) -> None:
    ledger = Ledger(database)
    parse = face.parser(dict[str, int])
    ledger.handler("orders.created", lambda payload, ctx: None, parse=parse)
    failing = [True]

    def ship(payload: Any, ctx: Any) -> Any:
        return 1 / 0 if failing else payload

    ledger.handler("orders.shipped", ship, parse=parse, attempts=1)
    front = Front(ledger, access_secret=("a-secret-for-tests-" + "x" * 20,))
    client = front.client()
    key = front.operations.keys.create(name="orders-service", role="producer", by="test")["id"]
    dead, gone = ledger.post("orders.shipped", {"order": 7}, {"order": 8})
    ledger.work()
    failing.clear()
    [event] = ledger.post("orders.created", {"order": 7}, delay=3600.0)
    [(stray,)] = ledger.sql(
        "insert into millrace.strays (queue, reason, properties, headers, body) values ('events', 'x', '{}', '{}', '')"
        " returning id::text"
    )
    calls = examples(event=event, dead=dead, gone=gone, stray=stray, key=key)
    assert len(calls) == PAGE.count("\ncurl ") >= 20
    with worked(ledger, leaving=event):
        for example in calls:
            answer = example.run(client)
            assert answer.status_code == example.status, f"{' '.join(example.words)}: {answer.text}"


def test_the_page_has_an_example_of_every_endpoint() -> None:
    app = Road().client().application
    adapter = app.url_map.bind("localhost")
    rules = {rule.endpoint for rule in app.url_map.iter_rules() if not rule.rule.startswith(LEFT_OUT)}
    shown = {
        adapter.match(urlsplit(f"//{e.target}").path, method=e.method)[0] for e in examples() if e.method != "OPTIONS"
    }
    assert rules - shown == set()


def test_the_page_names_every_route_and_every_parameter() -> None:
    for rule in Road().client().application.url_map.iter_rules():
        if rule.rule.startswith(LEFT_OUT):
            continue
        path = rule.rule.replace("/queues/<name>", "/queues/<queue>").replace("event_id", "id")
        path = path if "/schedules" in path or "/users" in path else path.replace("<name>", "<type>")
        for method in (rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            assert f"`{method} {path}`" in PAGE, f"{method} {path}"
    for name in (*timing.READERS, *ndjson.MEMBERS, "atomic", *search.Search.__struct_fields__):
        assert re.search(rf"[`?]{name}[`=]", PAGE), name

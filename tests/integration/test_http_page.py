"""``docs/http.md``: its examples run as they stand there, and it names every route and parameter."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from service.web import ndjson, timing
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

    def run(self, client: FlaskClient) -> Any:
        method, headers, data, target = "GET", {}, self.body, ""
        words = iter(self.words[1:])
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word in ("--json", "-d", "--data-binary"):
                value = next(words)
                method = "POST" if method == "GET" else method
                data = data if value == "@-" else value.encode()
                if word == "--json":
                    headers["Content-Type"] = "application/json"
            elif word != "-i":
                target = word
        place = urlsplit(f"//{target}")
        assert place.netloc == "localhost:5000"
        return client.open(f"{place.path}?{place.query}", method=method, headers=headers, data=data)


def examples() -> list[Example]:
    """All calls of the page, in order."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
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
    ledger.handler("orders.shipped", lambda payload, ctx: payload, parse=parse)
    client = Front(ledger).client()
    assert len(examples()) == PAGE.count("\ncurl ") >= 20
    with worked(ledger):
        for example in examples():
            answer = example.run(client)
            assert answer.status_code == example.status, f"{' '.join(example.words)}: {answer.text}"


def test_the_page_names_every_route_and_every_parameter() -> None:
    for rule in Road().client().application.url_map.iter_rules():
        path = rule.rule.replace("/queues/<name>", "/queues/<queue>").replace("event_id", "id")
        path = path if "/schedules" in path else path.replace("<name>", "<type>")
        for method in (rule.methods or set()) & {"GET", "POST", "PATCH"}:
            assert f"`{method} {path}`" in PAGE, f"{method} {path}"
    for name in (*timing.READERS, *ndjson.MEMBERS, "atomic"):
        assert re.search(rf"[`?]{name}[`=]", PAGE), name

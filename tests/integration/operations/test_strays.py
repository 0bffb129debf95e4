"""Strays: messages that are not ours, listed, shown and discarded."""

from __future__ import annotations

import base64

import pytest
from flask.testing import FlaskClient

from service.ledger.upkeep import Upkeep
from tests.answers import document, problem
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


class Foreign:
    """A message that is not ours."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.properties = {"content_type": "text/plain", "application_headers": {"x-from": "elsewhere"}}


def test_strays_are_listed_shown_and_discarded(ledger: Ledger, client: FlaskClient) -> None:
    for number in range(3):
        Upkeep(ledger.engine).file_stray("events", "rejected", Foreign(b"\x00\xff%d" % number))
    page = document(client.get("/v1/strays?limit=2"))
    [last] = document(client.get(f"/v1/strays?limit=2&cursor={page['next_cursor']}"))["strays"]
    assert (len(page["strays"]), last["queue"], last["bytes"]) == (2, "events", 3)
    hidden = document(client.get(last["links"]["self"]))
    assert (hidden["body"], hidden["headers"]) == (None, {"x-from": "***"})
    assert hidden["masked"] == ["/body", "/headers/x-from"]
    found = document(client.get(f"{last['links']['self']}?reveal=who+sends+this"))
    assert base64.b64decode(found["body"]) == b"\x00\xff0"
    assert (found["headers"], found["properties"]) == ({"x-from": "elsewhere"}, {"content_type": "text/plain"})
    assert client.delete(last["links"]["self"]).status_code == 204
    problem(client.delete(last["links"]["self"]), 404)
    problem(client.get("/v1/strays/no-id"), 404)
    assert len(document(client.get("/v1/strays"))["strays"]) == 2

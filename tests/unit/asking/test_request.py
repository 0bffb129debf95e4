"""The handler of `http.request`: how it enters, what it sends, signs and refuses."""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import json
import pathlib
import sys
import time
import warnings
from typing import Any

import pydantic
import pytest

from service import plugins
from service.domain.errors import InvalidEvent
from tests.receiver import Receiver, answer
from tests.unit.asking.ask import EVENT, KEY, RUN, ask
from workers import Discard
from workers.face import parser
from workers.http import handlers
from workers.http.request import Request


def test_the_handler_is_detached_and_has_a_queue_of_its_own() -> None:
    found = plugins.registry.get("http.request")
    assert (found.detached, found.queue, found.attempts) == (True, "http", 8)


def test_its_schema_tells_the_defaults_of_its_statuses() -> None:
    with warnings.catch_warnings(action="error"):
        schema = pydantic.TypeAdapter(plugins.registry.get("http.request").payload).json_schema()
    found = {name: schema["properties"][name]["default"] for name in ("success", "retry")}
    assert found == {"success": ["2xx"], "retry": [408, 425, 429, "5xx"]}


def test_it_enters_by_the_users_door(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).parents[3] / "setup.cfg")
    named = dict(line.split(" = ") for line in config["options.entry_points"][plugins.GROUP].split("\n") if line)
    assert named["http"] == "workers.http"
    # Whoever looks for a part of an app need not have loaded it.
    monkeypatch.delitem(sys.modules, "workers.http")
    assert plugins.optional("workers.http", "handlers") is handlers
    assert plugins.optional("workers.http", "views") is None


def test_a_request_is_sent_and_its_response_is_the_result(receiver: Receiver) -> None:
    receiver.answers = [answer("201 Created", b'{"id": 7}', Content_Type="application/json", Set_Cookie="a=b", X="1")]
    found = ask(url=f"{receiver.url}/orders?a=b%20c", json={"order": "ä", "n": [1, None]}, headers={"X-Team": "blue"})
    assert (found["status"], json.loads(found["body"]), found["cut"]) == (201, {"id": 7}, False)
    assert found["headers"] == {
        "content-length": "9", "connection": "close", "content-type": "application/json", "x": "1",
    }  # fmt: skip
    [got] = receiver.got
    assert (got.method, got.target) == ("POST", "/orders?a=b%20c")
    assert got.body == '{"order":"ä","n":[1,null]}'.encode()
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["idempotency-key"] == f'"{EVENT.id}"'
    assert got.headers["traceparent"] == RUN, "it stands below the run, not beside it"
    assert got.headers["user-agent"].startswith("millrace/")
    assert got.headers["x-team"] == "blue"
    assert "webhook-signature" not in got.headers


@pytest.mark.parametrize(
    ("payload", "method", "body", "content_type"),
    [
        ({}, "GET", b"", None),
        ({"json": None}, "POST", b"null", "application/json"),
        ({"body": "a=b", "headers": {"content-type": "application/x-www-form-urlencoded"}}, "POST", b"a=b",
         "application/x-www-form-urlencoded"),
        ({"body": "ä", "method": "PUT"}, "PUT", "ä".encode(), "text/plain; charset=utf-8"),
        ({"method": "DELETE"}, "DELETE", b"", None),
        ({"method": "POST"}, "POST", b"", None),
    ],
)  # fmt: skip
def test_method_and_body(
    receiver: Receiver, payload: dict[str, Any], method: str, body: bytes, content_type: str | None
) -> None:
    ask(url=receiver.url, **payload)
    [got] = receiver.got
    assert (got.method, got.target, got.body) == (method, "/", body)
    assert got.headers.get("content-type") == content_type


def test_a_signed_request_can_be_checked_by_its_receiver(receiver: Receiver) -> None:
    ask(url=receiver.url, json={"paid": True}, secret="billing")
    [got] = receiver.got
    assert got.headers["webhook-id"] == EVENT.id
    stamp = got.headers["webhook-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    signed = b".".join([EVENT.id.encode(), stamp.encode(), got.body])
    expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


def test_a_secret_that_is_not_known_makes_a_dead_letter_and_no_request(receiver: Receiver) -> None:
    with pytest.raises(Discard, match="there is no secret 'other' for 127"):
        ask(url=receiver.url, secret="other")
    assert receiver.got == []


@pytest.mark.parametrize(
    ("payload", "pointer", "why"),
    [
        ({}, "/url", "Field required"),
        ({"url": "example.com"}, "/url", "like https://example.com/hook"),
        ({"url": "ftp://example.com"}, "/url", "like https://example.com/hook"),
        ({"url": "file:///etc/passwd"}, "/url", "like https://example.com/hook"),
        ({"url": "http:///x"}, "/url", "like https://example.com/hook"),
        ({"url": "http://a:99999/"}, "/url", "like https://example.com/hook"),
        ({"url": "http://[::1/"}, "/url", "like https://example.com/hook"),
        ({"url": "http://u:p@example.com/"}, "/url", "no user or password"),
        ({"url": "http://example.com/a b"}, "/url", "what is not as %20"),
        ({"url": "http://example.com/\r\nX: y"}, "/url", "plain ASCII"),
        ({"url": "http://exämple.com/"}, "/url", "plain ASCII"),
        ({"url": "http://example.com/" + "x" * 3000}, "/url", "2048"),
        ({"url": "http://a/", "method": "TRACE"}, "/method", "'GET'"),
        ({"url": "http://a/", "headers": {"A b": "x"}}, "/headers", "no name of a header"),
        ({"url": "http://a/", "headers": {"A": "x\r\nB: y"}}, "/headers", "A: a value in one line"),
        ({"url": "http://a/", "headers": {"A": "€"}}, "/headers", "Latin-1"),
        ({"url": "http://a/", "headers": {"HOST": "b"}}, "/headers", "HOST is written by Millrace itself"),
        ({"url": "http://a/", "headers": {"Webhook-Signature": "b"}}, "/headers", "written by Millrace itself"),
        ({"url": "http://a/", "json": None, "body": "x"}, "", "give either json or body"),
        ({"url": "http://a/", "timeout": 0}, "/timeout", "greater than 0"),
        ({"url": "http://a/", "timeout": 601}, "/timeout", "600"),
        ({"url": "http://a/", "retry": "5xx"}, "/retry", 'a list of statuses is wanted, like [204, "5xx"]'),
        ({"url": "http://a/", "retry": [700]}, "/retry", "a list of statuses"),
        ({"url": "http://a/", "success": [True]}, "/success", "a list of statuses"),
        ({"url": "http://a/", "secrets": "x"}, "/secrets", "not permitted"),
    ],
)
def test_a_payload_that_is_no_request_is_refused_at_the_door(payload: dict[str, Any], pointer: str, why: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parser(Request)(payload)
    [fault] = caught.value.faults
    assert fault.pointer == pointer
    assert why in fault.detail

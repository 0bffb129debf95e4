"""Requests over HTTP on the whole road: posted at the door and ticked by a schedule, worked by a worker's child."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pathlib
from collections.abc import Iterator

import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.door import Door
from tests.patience import wait
from tests.receiver import Receiver, answer, receiving
from tests.road import Road

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def road(
    postgres: PostgresServer, rabbitmq: RabbitNode, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Road]:
    postgres.execute("create database requests")
    found = Road(
        postgres.dsn_of("requests"),
        rabbitmq.add_vhost(f"requests-{os.getpid()}"),
        tmp_path_factory.mktemp("requests"),
        # An entry point names workers.http where Millrace is installed.
        apps="tests.apps.ledger_app,tests.apps.asking_app,workers.http",
        request_networks="127.0.0.1/32",
    )
    found.settings["TEST_RECEIVER"] = receiver.url
    secret = pathlib.Path(found.folder) / "secrets"
    secret.write_text(f"billing@127.0.0.1=whsec_{base64.b64encode(KEY).decode()}\n")
    found.settings["MILLRACE_WEBHOOK_SECRETS_FILE"] = str(secret)
    try:
        found.prepare().declare("http")
        found.worker(queues="events,periodic,http")
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def door(road: Road) -> Door:
    return road.web()


def ended(door: Door, event_id: str) -> dict[str, object]:
    wait(lambda: door.get(f"/v1/events/{event_id}").document["state"] not in ("pending", "running"), 30, "it has ended")
    found: dict[str, object] = door.get(f"/v1/events/{event_id}").document
    return found


def test_a_posted_request_is_made_and_its_response_is_the_result(door: Door, receiver: Receiver) -> None:
    receiver.answers = [answer("200 OK", b"done", Content_Type="text/plain")]
    posted = door.post("http.request", url=f"{receiver.url}/posted", json={"n": 1})
    assert posted.status == 202
    found = ended(door, posted.id)
    assert found["state"] == "succeeded"
    assert {k: v for k, v in found["result"].items() if k in ("status", "body", "cut")} == {  # type: ignore[attr-defined]
        "status": 200, "body": "done", "cut": False,
    }  # fmt: skip
    [got] = [got for got in receiver.got if got.target == "/posted"]
    assert (got.body, got.headers["idempotency-key"]) == (b'{"n":1}', f'"{posted.id}"')


def test_a_request_into_a_closed_network_is_a_dead_letter_that_says_why(door: Door) -> None:
    posted = door.post("http.request", url="http://169.254.169.254/latest/meta-data/")
    found = ended(door, posted.id)
    assert found["state"] == "dead"
    assert "MILLRACE_REQUEST_NETWORKS" in str(found)


def test_what_is_no_request_is_refused_at_the_door(door: Door) -> None:
    found = door.post("http.request", url="ftp://example.com", colour="red")
    assert found.status == 422
    assert {fault["pointer"] for fault in found.document["errors"]} == {"/url", "/colour"}


def test_a_schedule_asks_without_any_python(road: Road, receiver: Receiver) -> None:
    receiver.answers = [answer("204 No Content")]
    clock = road.clock()
    wait(lambda: sum(got.target == "/tick" for got in receiver.got) >= 2, 40, "a schedule has asked twice")
    clock.stop()
    for got in [got for got in receiver.got if got.target == "/tick"]:
        signed = b".".join([got.headers["webhook-id"].encode(), got.headers["webhook-timestamp"].encode(), got.body])
        expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert got.headers["webhook-signature"] == f"v1,{expected}"
    ticks = road.sql("select id::text from millrace.events where schedule = 'ask' and state = 'succeeded'")
    asked = [got.headers["webhook-id"] for got in receiver.got if got.target == "/tick"]
    assert {event_id for (event_id,) in ticks} <= set(asked)

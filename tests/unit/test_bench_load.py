"""The benchmark's load generator, against a door that writes down what it is sent."""

from __future__ import annotations

import dataclasses
import http.server
import json
import shutil
import threading
import uuid
from collections.abc import Iterator

import pytest

from bench import contestants, work
from bench.errors import BenchError
from bench.load import Generator, parse
from bench.shapes import Shape

PREFIX = "0badcafe"


class _Door(http.server.BaseHTTPRequestHandler):
    """Takes orders, and refuses number 5."""

    protocol_version = "HTTP/1.1"
    #: Path, media type and body of each request.
    requests: list[tuple[str, str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((self.path, self.headers["Content-Type"], body))
        self.send_response(503 if b'"amount":5,' in body else 202)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


class Door:
    def __init__(self, port: int, requests: list[tuple[str, str, bytes]], program: Generator) -> None:
        self.port = port
        self.requests = requests
        self.generator = program

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.requests]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    if shutil.which("cc") is None:
        pytest.skip("the load generator wants a C compiler")
    return Generator.build(tmp_path_factory.mktemp("load"))


@pytest.fixture
def door(generator: Generator) -> Iterator[Door]:
    handler = type("Door", (_Door,), {"requests": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Door(server.server_port, handler.requests, generator)
        server.shutdown()
        thread.join()


SHAPE = Shape("test", "", seconds=10.0, connections=4, orders=40)


def test_posts_the_orders_that_the_check_expects(door: Door) -> None:
    load = door.generator.run(door.port, contestants.P2T, SHAPE, PREFIX)
    orders = [json.loads(body) for body in door.bodies]
    committed = [(uuid.UUID(order["order"]), work.compute_order(order)) for order in orders]
    assert work.check(committed, PREFIX, load.sent, load.refused) == work.Check(40, 0, 0)
    assert (load.sent, load.accepted, load.refused) == (40, 39, [5])
    assert len(load.latencies) == 40
    assert {path for path, _, _ in door.requests} == {"/orders"}


@pytest.mark.parametrize("size", [256, 1024, 16 * 1024])
def test_makes_an_order_as_long_as_it_is_told(door: Door, size: int) -> None:
    door.generator.run(door.port, contestants.P2T, dataclasses.replace(SHAPE, size=size, orders=4), PREFIX)
    assert {len(body) for body in door.bodies} == {size}
    assert json.loads(door.bodies[0])["note"].startswith("Please")


def test_posts_a_list_to_peers_and_the_rest_in_the_last_request(door: Door) -> None:
    shape = dataclasses.replace(SHAPE, batch=16)
    load = door.generator.run(door.port, contestants.P2T, shape, PREFIX)
    assert sorted(len(json.loads(body)) for body in door.bodies) == [8, 16, 16]
    assert (load.sent, load.accepted) == (40, 24)  # Number 5 takes its request along.
    assert load.refused == list(range(16))


def test_posts_lines_to_millrace_of_as_many_types_as_wished(door: Door) -> None:
    shape = dataclasses.replace(SHAPE, batch=20, types=3)
    door.generator.run(door.port, contestants.MILLRACE, shape, PREFIX)
    path, media_type, _ = door.requests[0]
    assert (path, media_type) == ("/v1/events", "application/x-ndjson")
    lines = [json.loads(line) for body in door.bodies for line in body.splitlines()]
    assert {(line["type"], line["payload"]["amount"] % 3) for line in lines} == {
        ("bench.bulk.t0", 0),
        ("bench.bulk.t1", 1),
        ("bench.bulk.t2", 2),
    }


def test_posts_single_orders_of_several_types_to_their_paths(door: Door) -> None:
    door.generator.run(door.port, contestants.MILLRACE, dataclasses.replace(SHAPE, types=2, orders=4), PREFIX)
    assert {path for path, _, _ in door.requests} == {"/v1/events/bench.bulk.t0", "/v1/events/bench.bulk.t1"}


def test_keeps_a_pace_and_counts_from_the_planned_instant(door: Door) -> None:
    load = door.generator.run(door.port, contestants.P2T, dataclasses.replace(SHAPE, rate=100.0), PREFIX)
    planned = [answered - latency for answered, latency in zip(load.answered_us, load.latencies_us, strict=True)]
    assert planned == pytest.approx([number * 10_000 for number in range(40)], abs=2)


def test_sends_nothing_after_its_time(door: Door) -> None:
    load = door.generator.run(door.port, contestants.P2T, dataclasses.replace(SHAPE, rate=100.0, seconds=0.1), PREFIX)
    assert load.sent <= 11


def test_says_why_it_cannot_start(generator: Generator) -> None:
    with pytest.raises(BenchError, match="cannot connect"):
        generator.run(1, contestants.P2T, SHAPE, PREFIX)


def test_line_of_results_is_read_whole() -> None:
    line = (
        '{"sent":2,"batch":1,"started_at":5.5,"seconds":0.1,"cpu_seconds":0.01,"refused":[1],'
        '"latencies_us":[120,340],"answered_us":[130,350]}'
    )
    assert parse(PREFIX, line).refused == [1]

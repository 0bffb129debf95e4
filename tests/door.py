"""The HTTP door as its clients see it."""

from __future__ import annotations

import dataclasses
import http.client
import json
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tests.patience import PATIENCE, wait
from tests.processes import Process

DEADLINE = 3.0 * PATIENCE  #: seconds within which a post is answered, stored or not: MILLRACE_ACCEPT_DEADLINE
#: Seconds around the intake, with all threads of clients and servers on two cores; a busy machine has more of them.
SLACK = 0.5 + 2.0 * max(0.0, PATIENCE - 1)
TIMEOUT = 30.0 * PATIENCE  #: seconds after which a client gives up; far beyond every promise, to show a hang


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a client got. The status 0 means that the connection broke instead."""

    status: int
    headers: dict[str, str]
    document: Any
    seconds: float

    @property
    def id(self) -> str:
        """The id of the accepted event."""
        assert self.status == 202, self
        return str(self.document["id"])


class Door:
    """A web process and its address."""

    def __init__(self, process: Process, address: str) -> None:
        self.process = process
        self.address = address

    def wait_until_open(self, seconds: float = 30.0) -> None:
        """Wait until it answers at all."""

        def answers() -> bool:
            assert self.process.code is None, f"the web process ended with {self.process.code}"
            return self.get("/healthz").status == 200

        wait(answers, seconds, "the door answers")

    def get(self, path: str) -> Answer:
        """One GET."""
        return self._request(self._connect(), "GET", path, None)

    def post(self, type_name: str, *, key: str | None = None, delay: float = 0.0, **payload: Any) -> Answer:
        """Post one event; with a key it may be posted again."""
        path = f"/v1/events/{type_name}" + (f"?delay={delay}" if delay else "")
        return self._request(self._connect(), "POST", path, json.dumps(payload), key=key)

    def post_many(self, type_name: str, number: int, **payload: Any) -> Answer:
        """Post so many events in one request, all or none of them."""
        return self.post_together(type_name, [payload] * number)

    def post_together(self, type_name: str, payloads: Iterable[dict[str, Any]]) -> Answer:
        """Post these events in one request, all or none of them."""
        lines = "".join(f"{json.dumps({'type': type_name, 'payload': payload})}\n" for payload in payloads)
        return self._request(self._connect(), "POST", "/v1/events?atomic=1", lines, "application/x-ndjson")

    def act(self, event_id: str, act: str, document: Any = None) -> Answer:
        """Do to an event what an operator does: cancel, replay."""
        body = None if document is None else json.dumps(document)
        return self._request(self._connect(), "POST", f"/v1/events/{event_id}/{act}", body)

    def post_all(self, type_name: str, payloads: Sequence[dict[str, Any]], threads: int = 16) -> list[Answer]:
        """Post many events over some connections at once; the answers in no order."""
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for payload in payloads:
            waiting.put(json.dumps(payload))
        answers: list[Answer] = []

        def client() -> None:
            connection = self._connect()
            while True:
                try:
                    body = waiting.get_nowait()
                except queue.Empty:
                    return
                answers.append(self._request(connection, "POST", f"/v1/events/{type_name}", body))

        clients = [threading.Thread(target=client) for _ in range(threads)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert len(answers) == len(payloads)
        return answers

    def _connect(self) -> http.client.HTTPConnection:
        host, _, port = self.address.rpartition(":")
        return http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)

    def _request(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | None,
        media_type: str = "application/json",
        key: str | None = None,
    ) -> Answer:
        begin = time.monotonic()
        sent = ({"Content-Type": media_type} if body else {}) | ({"Idempotency-Key": f'"{key}"'} if key else {})
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # It opens itself again at the next request.
            return Answer(0, {}, None, time.monotonic() - begin)
        headers = {name.lower(): value for name, value in response.getheaders()}
        document = json.loads(content) if "json" in headers.get("content-type", "json") and content else None
        return Answer(response.status, headers, document, time.monotonic() - begin)


def accepted(answers: Iterable[Answer]) -> list[str]:
    """The ids of the events; every answer must be a 202."""
    found = list(answers)
    refused = [a for a in found if a.status != 202]
    assert not refused, f"{len(refused)} of {len(found)} were not accepted, first: {refused[0]}"
    return [a.id for a in found]


def refused(answers: Iterable[Answer]) -> set[str]:
    """The ids of events that may be stored all the same; every answer must be a 503 that says whether."""
    found = list(answers)
    maybe: set[str] = set()
    for answer in found:
        assert answer.status == 503, answer
        assert int(answer.headers["retry-after"]) > 0
        assert answer.document["stored"] in ("no", "unknown")
        assert (answer.document["stored"] == "unknown") == bool(answer.document.get("event_ids"))
        maybe |= set(answer.document.get("event_ids", ()))
    assert found, "no post was refused: this would prove nothing"
    return maybe


def assert_in_time(answers: Iterable[Answer]) -> None:
    """P3: no request waits much longer than its deadline."""
    slowest = max(answers, key=lambda a: a.seconds)
    assert slowest.seconds < DEADLINE + SLACK, slowest

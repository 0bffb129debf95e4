"""The pulse of a worker: it is well while its loop turns, and says so when it does not."""

from __future__ import annotations

import time

import pytest

from workers import pulse


def test_a_worker_that_has_taken_nothing_yet_is_well_and_not_ready() -> None:
    """Whoever deploys waits for it before the old ones end, and nobody starts it again while it waits for RabbitMQ."""
    said = {"status": "starting", "seconds_since": {"loop": 0.0}}
    assert pulse.Pulse().health() == (True, said)
    assert pulse.Pulse().readiness() == (False, said)


def begun() -> pulse.Pulse:
    found = pulse.Pulse()
    found.begun = True
    return found


def test_a_loop_that_stands_still_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now = begun(), time.monotonic()
    assert found.health()[0]
    assert found.readiness()[0]
    monkeypatch.setattr(time, "monotonic", lambda: now + pulse.STALLED + 1)
    healthy, document = found.health()
    assert (healthy, document["status"]) == (False, "stalled")
    assert found.readiness() == (False, document)
    assert document["seconds_since"]["loop"] > pulse.STALLED
    found.beat()
    assert found.health() == (True, {"status": "ok", "seconds_since": {"loop": 0.0}})


def test_who_waits_for_rabbitmq_and_does_not_even_try_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now = pulse.Pulse(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + pulse.STALLED + 1)
    assert (found.health()[0], found.health()[1]["status"]) == (False, "stalled")
    found.beat()
    assert found.health()[0]


def test_a_pool_that_works_in_the_loop_itself_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now = begun(), time.monotonic()
    found.watched = False
    monkeypatch.setattr(time, "monotonic", lambda: now + 10 * pulse.STALLED)
    assert found.health()[0]

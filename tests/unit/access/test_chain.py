"""The chain of the audit log: whoever changes, removes or adds a row is found."""

from __future__ import annotations

import dataclasses
import datetime
import json

import hypothesis
import pytest
from hypothesis import strategies

from service.domain import chain


def log_of(number: int) -> list[chain.Entry]:
    found: list[chain.Entry] = []
    for n in range(1, number + 1):
        at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=n)
        previous = found[-1].hash if found else chain.FIRST
        entry = chain.Entry(n, at, "ada", "type.paused", "a.b", json.dumps({"n": n}), "r", "127.0.0.1", previous)
        found.append(dataclasses.replace(entry, hash=entry.computed()))
    return found


def end_of(log: list[chain.Entry]) -> tuple[int, str]:
    return (log[-1].n, log[-1].hash) if log else (0, chain.FIRST)


@hypothesis.given(strategies.integers(0, 8))
def test_a_chain_that_nobody_touched_holds(number: int) -> None:
    log = log_of(number)
    assert list(chain.breaks(log, end_of(log))) == []


CHANGES = {
    "n": 99, "at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "actor": "eve", "act": "key.created",
    "target": None, "detail": "{}", "request_id": None, "address": "10.0.0.1", "previous": "f" * 64, "hash": "f" * 64,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_every_field_that_is_changed_is_found_with_its_row(name: str, place: int) -> None:
    log = log_of(5)
    end = end_of(log)
    log[place] = dataclasses.replace(log[place], **{name: CHANGES[name]})
    found = list(chain.breaks(log, end))
    assert found, name
    assert min(b.n for b in found) in (place + 1, place + 2, 99)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_row_that_was_removed_is_found(place: int) -> None:
    log = log_of(5)
    end = end_of(log)
    del log[place]
    assert next(b.what for b in chain.breaks(log, end)).startswith(f"row {place + 1} is missing")


def test_a_row_that_was_put_in_is_found() -> None:
    log = log_of(5)
    extra = dataclasses.replace(log[2], n=6, actor="eve", previous=log[4].hash)
    log.append(dataclasses.replace(extra, hash=extra.computed()))
    assert [b.n for b in chain.breaks(log, end_of(log[:5]))] == [6]


def test_a_row_in_the_place_of_another_with_a_right_hash_is_found() -> None:
    log = log_of(5)
    end = end_of(log)
    forged = dataclasses.replace(log[2], actor="eve")
    log[2] = dataclasses.replace(forged, hash=forged.computed())
    assert [b.n for b in chain.breaks(log, end)] == [4]

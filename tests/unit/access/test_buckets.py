"""Buckets of tokens: a burst, then a steady flow, in bounded memory."""

from __future__ import annotations

import pytest

from service.application.buckets import Buckets
from tests.unit.access.parts import Time


def test_a_bucket_lets_a_burst_through_and_then_a_steady_flow(time: Time) -> None:
    buckets = Buckets(10, now=time)
    assert sum(buckets.take("a") for _ in range(100)) == 20
    assert buckets.take("b"), "each has a bucket of their own"
    assert buckets.wait("a") == 1
    assert buckets.headers("a") == {"RateLimit-Policy": '"key";q=20;w=2', "RateLimit": '"key";r=0;t=1'}
    passed = 0
    for _ in range(1000):
        time.now += 0.01
        passed += buckets.take("a")
    assert 99 <= passed <= 101


def test_buckets_are_bounded(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.application.buckets.MOST", 10)
    buckets = Buckets(1, 1, now=time)
    for number in range(100):
        buckets.take(str(number))
    assert len(buckets._levels) == 10

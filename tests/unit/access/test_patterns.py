"""Which event types the pattern of a key takes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.access import Kind, Principal, Role, check_types


def takes(pattern: str, name: str) -> bool:
    return Principal("a", Role.PRODUCER, Kind.KEY, (pattern,)).may_submit(name)


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("orders.*", "orders.created", True), ("orders.*", "orders.", True), ("orders.*", "orders", False),
        ("orders.created", "orders.created", True), ("orders.created", "orders.created.x", False), ("*", "", True),
        ("*.created", "orders.created", True), ("a*a", "a", False), ("a*a", "aa", True), ("*b*", "abc", True),
        ("a*b*c", "acb", False), ("a.b", "axb", False),
    ],
)  # fmt: skip
def test_a_star_stands_for_anything(pattern: str, name: str, found: bool) -> None:
    assert takes(pattern, name) is found


@given(st.text("ab*", max_size=9), st.text("ab", max_size=9))
def test_it_is_what_a_regular_expression_would_find(pattern: str, name: str) -> None:
    wanted = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None
    assert takes(pattern or "x", name) is (wanted if pattern else False)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    pattern = "*a" * 20 + "*b"
    check_types((pattern,))
    begin = time.thread_time()
    assert not takes(pattern, "a" * 60)
    assert time.thread_time() - begin < 0.1

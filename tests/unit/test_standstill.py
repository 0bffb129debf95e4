"""What is waited for on a machine that stood still meanwhile, and ports that nobody listens on yet."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest

from service.local import ports, spawn
from tests import patience


@pytest.fixture
def stood(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Each rest between two looks lasts for an hour; whether there was one."""
    now = [0.0]

    def sleep(_: float) -> None:
        now[0] += 3_600.0

    for module in (spawn, patience):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return lambda: now[0] > 0.0


@pytest.mark.parametrize("holds", [True, False])
def test_what_is_waited_for_is_looked_at_once_more_when_its_time_is_over(
    stood: Callable[[], bool], holds: bool
) -> None:
    assert spawn.wait_until(lambda: holds and stood(), 5) is holds


def test_so_do_tests(stood: Callable[[], bool]) -> None:
    patience.wait(stood, 5, "the machine goes on")
    with pytest.raises(AssertionError, match="in vain: nothing"):
        patience.wait(lambda: False, 5, "nothing")


def test_a_free_port_is_told_to_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr(ports, "FIRST", 20_000)
    monkeypatch.setattr(ports, "LAST", 20_002)
    monkeypatch.setattr(ports, "is_free", lambda *_: True)
    assert {ports.free() for _ in range(3)} == {20_000, 20_001, 20_002}
    with pytest.raises(spawn.LocalError, match="no free port"):
        ports.free()

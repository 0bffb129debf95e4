"""What must hold when a fault is over and everything has come through, in the manner of Jepsen."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator

import psycopg2

from tests.door import Door, assert_in_time
from tests.faults.workload import Workload
from tests.patience import wait
from tests.road import Road

Record = Callable[[str, object], None]  #: pytest's own ``record_property``
Trial = Callable[..., contextlib.AbstractContextManager[Workload]]  #: the fixture of that name

ENDED = """
select e.id::text, e.state, d.reason from millrace.events e left join millrace.dead d on d.event_id = e.id
where e.id = any(%s::uuid[])
"""
EFFECTS = "select number, event_id::text from effects where number = any(%s)"
OPEN = "select count(*) from millrace.events where state in ('pending', 'running')"


NONE: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the numbers of a workload."""

    lost: frozenset[int] = NONE  #: accepted, and neither worked nor a dead letter with a reason
    buried: frozenset[int] = NONE  #: dead letters, though there was nothing wrong with them
    doubled: frozenset[int] = NONE  #: with more than one effect, or with one that a replay would double
    broken_refusals: frozenset[int] = NONE  #: said not to be stored, and worked all the same


@contextlib.contextmanager
def trial(road: Road, *doors: Door, record: Record, drain: float = 60.0, rate: float = 40.0) -> Iterator[Workload]:
    """A workload around a fault: the end of the block is the end of the fault, and then all is checked.

    The block is to show that its fault has bitten. While it lasts, the load goes on; so it does until the road works
    again, and how long that takes is recorded.
    """
    with Workload(*doors, rate=rate) as load:
        load.wait_for_accepted(10)
        yield load
        recovery = seconds_until_worked(road, doors[-1])
    record("recovery", round(recovery, 1))
    check(road, load, record, drain=drain)


def seconds_until_worked(road: Road, door: Door, seconds: float = 60.0) -> float:
    """How long it takes from now until a fresh event is accepted and its effect is there."""
    begin = time.monotonic()
    fresh: list[str] = []

    def is_accepted() -> bool:
        answer = door.post("ledger.step")
        fresh.extend([answer.id] if answer.status == 202 else [])
        return bool(fresh)

    wait(is_accepted, seconds, "a fresh event is accepted")
    wait(lambda: has_effect(road, fresh[0]), seconds, "a fresh event is worked")
    return time.monotonic() - begin


def p99(road: Road, ids: Iterable[str]) -> float:
    """Seconds from accepted to worked, for 99 of 100 of these events."""
    latency = (
        "select percentile_cont(0.99) within group (order by extract(epoch from finished_at - accepted_at))"
        " from millrace.events where id = any(%s::uuid[])"
    )
    return float(road.one(latency, list(ids)))


def has_effect(road: Road, event_id: str) -> bool:
    """Whether the effect of this event can be seen; not while the ledger is not to be had."""
    with contextlib.suppress(psycopg2.OperationalError):
        return bool(road.effects([event_id]))
    return False


def check(road: Road, load: Workload, record: Record, *, drain: float = 60.0) -> None:
    """Wait until nothing is open, and assert P1, P2, P3 and P8 of all that was posted."""
    load.stop()
    accepted = load.accepted() | load.ask_again()
    wait(lambda: not road.one(OPEN), drain, "nothing is open", step=0.2)
    verdict = judge(road, load, accepted)
    record("lost", len(verdict.lost))
    record("doubled", len(verdict.doubled))
    assert verdict == Verdict(), verdict
    assert_in_time(load.answers.values())
    strange = [a for a in load.unknown().values() if a.status not in (0, 503)]
    assert not strange, f"neither accepted nor refused: {strange[0]}"
    road.assert_books()
    doctor = road.run("doctor", "service", "doctor")
    assert doctor.wait_for_end() == 0, doctor.text()


def judge(road: Road, load: Workload, accepted: dict[int, str] | None = None) -> Verdict:
    """Compare what clients were told with what is there.

    ``accepted``: number → the event's id, of those that were, where some were posted again after the load.
    """
    accepted = load.accepted() if accepted is None else accepted
    ended = {event: (state, reason) for event, state, reason in road.sql(ENDED, list(accepted.values()))}
    worked: dict[int, list[str]] = {}
    for number, event in road.sql(EFFECTS, list(load.answers)):
        worked.setdefault(number, []).append(event)
    buried = frozenset(n for n, event in accepted.items() if ended.get(event, ("", None))[0] == "dead")

    def is_lost(number: int, event: str) -> bool:
        state, reason = ended.get(event, ("", None))
        return not reason if number in buried else not (state == "succeeded" and event in worked.get(number, ()))

    return Verdict(
        lost=frozenset(n for n, event in accepted.items() if is_lost(n, event)),
        buried=buried,
        doubled=frozenset(n for n, events in worked.items() if len(events) > 1 or n in buried),
        broken_refusals=frozenset(load.refused().keys() & worked.keys()),
    )

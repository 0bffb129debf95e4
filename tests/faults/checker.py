"""What must hold when a fault is over and everything has come through, in the manner of Jepsen."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Iterator

import psycopg2

from tests.door import TIMEOUT, Door, assert_in_time
from tests.faults.mixture import Batches, Cancels, Mixture, Replays, Runs
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
NOW = "select clock_timestamp()"
LATER = "select exists (select from millrace.slots where due_at > %s)"
RUN = "select distinct event_id::text from runs"
REPLAYS = "select replay_of::text, id::text from millrace.events where replay_of = any(%s::uuid[])"

# Instants of which there is not just one slot, and for it just one event, worked once; until an instant.
NOT_ONCE = """
with ticks as (
    select coalesce(s.due_at, e.slot_at) as at, s.outcome, s.event_id as named, e.id, e.state,
           (select count(*) from effects f where f.event_id = e.id) as effects
    from (select * from millrace.slots where schedule = %s) s
    full join (select * from millrace.events where schedule = %s and replay_of is null) e on e.slot_at = s.due_at)
select at from ticks where at <= %s group by at
having count(*) <> 1
    or not bool_and(named is not distinct from id and (outcome = 'skipped') = (id is null)
                    and (id is null or state = 'succeeded' and effects = 1))
"""
# Of all slots since an instant: how many, how many instants they stand for, and how many there were.
ACCOUNT = """
select count(*)::int, (count(*) + coalesce(sum(missed) filter (where due_at > first), 0))::int,
       extract(epoch from max(due_at) - min(due_at))::int + 1
from (select *, min(due_at) over () as first from millrace.slots where schedule = %s and due_at > %s) found
"""

NONE: frozenset[int] = frozenset()
LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the numbers of a workload."""

    lost: frozenset[int] = NONE  #: accepted, and neither worked nor a dead letter with a reason
    buried: frozenset[int] = NONE  #: dead letters, though there was nothing wrong with them
    doubled: frozenset[int] = NONE  #: with more than one effect, or with one that a replay would double
    broken_refusals: frozenset[int] = NONE  #: said not to be stored, and worked all the same
    unheeded: frozenset[int] = NONE  #: said to be cancelled, or found so, and worked all the same
    replayed_twice: frozenset[int] = NONE  #: dead letters of which more was made than one event, which was told
    torn: frozenset[int] = NONE  #: worked, though others that were posted together with it were not


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
    assert_answered(load)
    assert_well(road)


def check_all(road: Road, mixture: Mixture, record: Record, *, drain: float = 60.0) -> None:
    """The same of clients of every kind, each of which has been heard; and that each instant of the schedule that is
    due each second was fired or accounted for once, from its first slot on, however late.
    """
    mixture.stop()
    unheard = [name for name, load in mixture.each().items() if not load.accepted()]
    assert not unheard, f"none of these was ever accepted: {unheard}"
    assert mixture.cancelled(), "no cancel came in time"
    assert mixture.replayed(), "no dead letter was replayed"
    accepted = mixture.posts.accepted() | mixture.posts.ask_again()
    accepted_runs = mixture.runs.accepted() | mixture.runs.ask_again()
    until = road.one(NOW)
    wait(lambda: road.one(LATER, until), drain, "the clocks have come so far")
    wait(lambda: not road.one(OPEN), drain, "nothing is open")  # For a moment: a tick comes each second.
    verdicts = {
        "posts": judge(road, mixture.posts, accepted),
        "batches": judge_batches(road, mixture.batches),
        "runs": judge_runs(road, mixture.runs, accepted_runs),
        "cancels": judge_cancels(road, mixture.cancels),
        "replays": judge_replays(road, mixture.replays),
    }
    for field in dataclasses.fields(Verdict):
        record(field.name.replace("_", " "), sum(len(getattr(v, field.name)) for v in verdicts.values()))
    slots = judge_slots(road, until)
    record("slots not once", len(slots))
    assert not (found := {name: v for name, v in verdicts.items() if v != Verdict()}), found
    assert not slots, slots
    assert_accounted(road, LONG_AGO)
    for load in mixture.each().values():
        assert_answered(load)
    acts = [*mixture.cancels.acts.values(), *(act for told in mixture.replays.acts.values() for act in told)]
    strange = [act for act in acts if act.status not in (200, 202, 409, 503, 0) or act.seconds >= TIMEOUT]
    assert not strange, f"neither done nor refused: {strange[0]}"
    assert_well(road)


def assert_answered(load: Workload) -> None:
    """P3: every post was answered in time, and in words that were promised."""
    assert_in_time(load.answers.values())
    strange = [a for a in load.unknown().values() if a.status not in (0, 503)]
    assert not strange, f"neither accepted nor refused: {strange[0]}"


def assert_well(road: Road) -> None:
    """P8, by the books and by the doctor."""
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


def judge_batches(road: Road, load: Batches) -> Verdict:
    """Of those that were posted together, all or none are worked, whatever their client was told."""
    worked = {number for number, _ in road.sql(EFFECTS, [n for numbers in load.together for n in numbers])}
    parts = [worked.intersection(numbers) for numbers in load.together]
    torn = {n for part, numbers in zip(parts, load.together, strict=True) if len(part) < len(numbers) for n in part}
    return dataclasses.replace(judge(road, load), torn=frozenset(torn))


def judge_runs(road: Road, load: Runs, accepted: dict[int, str] | None = None) -> Verdict:
    """Of a detached handler whose effect is committed with its outcome: at least one run, and one effect."""
    accepted = load.accepted() if accepted is None else accepted
    run = {event for (event,) in road.sql(RUN)}
    verdict = judge(road, load, accepted)
    never = frozenset(n for n, event in accepted.items() if event not in run)
    return dataclasses.replace(verdict, lost=verdict.lost | never)


def judge_cancels(road: Road, load: Cancels) -> Verdict:
    """What was answered to be cancelled has no effect; what was not is worked; if nobody knows, one of both."""
    accepted, acts = load.accepted(), load.acts
    states = {event: state for event, state, _ in road.sql(ENDED, list(accepted.values()))}
    worked = {event for _, event in road.sql(EFFECTS, list(accepted))}
    told = {n for n, act in acts.items() if act.status == 200}
    maybe = {n for n, act in acts.items() if act.status in (0, 503)}
    ended = {n for n, event in accepted.items() if states.get(event) == "cancelled"}
    gone = told | (ended & maybe)
    verdict = judge(road, load, {n: event for n, event in accepted.items() if n not in gone})
    return dataclasses.replace(verdict, unheeded=frozenset(n for n in gone if n not in ended or accepted[n] in worked))


def judge_replays(road: Road, load: Replays) -> Verdict:
    """Of each dead letter there is one new event, if one was told; it is worked once, and the letter stays."""
    letters, told = load.accepted(), load.made()
    made: dict[str, set[str]] = {}
    for old, new in road.sql(REPLAYS, list(letters.values())):
        made.setdefault(old, set()).add(new)
    ended = {event: reason for event, state, reason in road.sql(ENDED, list(letters.values())) if state == "dead"}
    found = {n: sorted(made.get(event, set()) | told.get(n, set())) for n, event in letters.items()}
    verdict = judge(road, load, {n: new[0] for n, new in found.items() if new})
    return dataclasses.replace(
        verdict,
        lost=verdict.lost | {n for n, event in letters.items() if not ended.get(event)},
        replayed_twice=frozenset(n for n, new in found.items() if len(new) > 1),
    )


def judge_slots(road: Road, until: datetime.datetime, schedule: str = "ticking.second") -> list[datetime.datetime]:
    """The instants that did not become one slot with one event, worked once, by a time when none is open."""
    return [at for (at,) in road.sql(NOT_ONCE, schedule, schedule, until)]


def assert_accounted(road: Road, since: datetime.datetime, schedule: str = "ticking.second") -> int:
    """Each instant since then has its slot or is counted in the next one; how many slots there are."""
    found, accounted, instants = road.sql(ACCOUNT, schedule, since)[0]
    assert accounted == instants, f"{found} slots stand for {accounted} of {instants} instants"
    return int(found)

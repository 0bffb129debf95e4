"""How long it takes until everything is with the broker that is due in the same second.

One clock on private servers has been there for a while; events stand in the ledger that are delayed until one and the
same instant. All times are by the ledger's clock: from that instant until no ticket waits to be published any more,
which it no longer does when the broker's confirm was written down, or its events have been worked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2

from bench import machine, schedules, servers, usage
from bench.errors import BenchError

LEAD = 4.0  #: seconds from the making of the events to their instant
LOOK = 0.02  #: seconds between two looks at what waits
WITHIN = 60.0  #: seconds after which it is given up
ROUNDS = 3

WORKER = ("celery", "-A", "workers", "worker", "-Q", "events", "-c", "2", "-l", "WARNING")
WORKS = "select exists (select from millrace.processes where kind = 'worker')"

#: Events on tickets of ``bundle`` each, as a door writes them.
MAKE = """
with event as (
    insert into millrace.events (id, type, ticket_id, payload, run_at)
    select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || lpad(to_hex(mod(n, 4096)), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid,
           %(type)s, md5((n / %(bundle)s)::text)::uuid, jsonb_build_object('n', n), %(start)s
    from generate_series(0, %(events)s - 1) n
    returning id, type, ticket_id, run_at),
tally as (
    insert into millrace.tallies (minute, type, word, n)
    select date_trunc('minute', now()), %(type)s, 'accepted', %(events)s)
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
select ticket_id, %(type)s, 'events', 'millrace.events', 'event.' || %(type)s, array_agg(id order by id), %(start)s
from event group by ticket_id
"""
#: Tickets that have come and gone: nothing tidies them up while a transaction sees the past.
GONE = """
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
select gen_random_uuid(), 'ticks.alone', 'events', 'millrace.events', 'event.ticks.alone', array[gen_random_uuid()],
       clock_timestamp() + interval '2 s'
from generate_series(1, %s);
delete from millrace.tickets
"""
WAITS = """
select exists (select from millrace.tickets where published_at is null),
       extract(epoch from clock_timestamp() - %s)::float8
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    events: int
    bundle: int  #: events on a ticket
    worked: bool = False  #: whether a worker with two children takes them at once
    gone: int = 0  #: tickets that came and went, for a type of theirs, beside a transaction that is still open

    def __str__(self) -> str:
        what = "a ticket each" if self.bundle == 1 else f"{self.bundle} on a ticket"
        beside = f", beside a transaction that has seen {self.gone:,} tickets go" if self.gone else ""
        return f"{self.events:,} events, {what}, {'a worker at them' if self.worked else 'no worker'}{beside}"


#: In ten minutes of 200 single posts a second 120,000 tickets come and go.
CASES = (Case(10_000, 1), Case(10_000, 50), Case(10_000, 1, worked=True), Case(10_000, 1, gone=120_000))


@dataclasses.dataclass(frozen=True)
class Row:
    """What was found for one case."""

    case: Case
    seconds: list[float]  #: of each round, until the last ticket was with the broker
    cpu: dict[str, float]  #: seconds of a processor that was used meanwhile, in the median: by clock, broker, postgres


def run(cases: tuple[Case, ...], tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure, and all that was found as JSON."""
    taken_at = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    var = schedules.ROOT / "var" / "bench"
    (var / "log").mkdir(parents=True, exist_ok=True)
    found, load = [], os.getloadavg()[0]
    tell("starting PostgreSQL and RabbitMQ")
    with tempfile.TemporaryDirectory(prefix="servers-", dir=var) as data, servers.running(Path(data)) as both:
        for case in cases:
            rounds = [_measure(case, both, var / "log" / "due.log") for _ in range(ROUNDS)]
            cpu = {name: statistics.median(spent[name] for _, spent in rounds) for name in rounds[0][1]}
            found.append(Row(case, [seconds for seconds, _ in rounds], cpu))
            tell(line(found[-1]))
        versions = both.versions()
    return {
        "taken_at": taken_at,
        "load": load,
        "machine": machine.describe(),
        "versions": {"Millrace": machine.revision(schedules.ROOT)} | versions,
        "rows": [dataclasses.asdict(row) for row in found],
    }


def _measure(case: Case, both: servers.Servers, log: Path) -> tuple[float, dict[str, float]]:
    """(seconds until all is with the broker, seconds of a processor by who used them) of one round."""
    commands = [schedules.CLOCK, *([WORKER] if case.worked else [])]
    with schedules.road(both, log, *commands) as (cursor, [clock, *others]), _beside(cursor, case.gone):
        schedules.wait_for_clock(cursor, clock)
        _wait_for_workers(cursor, len(others))
        cursor.execute("vacuum analyze millrace.tickets")  # As after a quiet time: nothing is known of what comes now.
        usage.wait_for_rest([clock.pid, *(other.pid for other in others)])
        cursor.execute("select clock_timestamp() + make_interval(secs => %s)", (LEAD,))
        start = cursor.fetchone()[0]
        name = "ticks.alone" if case.bundle == 1 else "ticks.bundled"
        cursor.execute(MAKE, {"type": name, "bundle": case.bundle, "events": case.events, "start": start})
        schedules.sleep_until(cursor, start)
        meter = usage.Meter({"clock": [clock.pid], **both.pids})
        waits, seconds = True, 0.0
        while waits:
            clock.check()
            cursor.execute(WAITS, (start,))
            waits, seconds = cursor.fetchone()
            if seconds > WITHIN:
                raise BenchError(f"{case}: some are not published after {WITHIN:.0f} s")
            time.sleep(LOOK)
        return seconds, meter.spent()


@contextlib.contextmanager
def _beside(cursor: Any, gone: int) -> Iterator[None]:
    """With a transaction that is open since before so many tickets came and went."""
    if not gone:
        yield
        return
    password = cursor.connection.info.password
    with contextlib.closing(psycopg2.connect(cursor.connection.dsn, password=password)) as other:
        other.set_session(isolation_level="REPEATABLE READ")
        other.cursor().execute("select from millrace.tickets")  # From here on it sees what there is now.
        for _ in range(10):
            cursor.execute(GONE, (gone // 10,))
        yield


def _wait_for_workers(cursor: Any, number: int) -> None:
    deadline = time.monotonic() + WITHIN
    while number and time.monotonic() < deadline:
        cursor.execute(WORKS)
        if cursor.fetchone()[0]:
            return
        time.sleep(0.1)
    if number:
        raise BenchError("the worker has not begun within a minute")


def line(row: Row) -> str:
    """A row for the terminal."""
    rounds = ", ".join(f"{seconds:.2f}" for seconds in row.seconds)
    cpu = ", ".join(f"{name} {seconds:.2f}" for name, seconds in row.cpu.items())
    return f"{row.case}: all published after {rounds} s; CPU, s: {cpu}"


def section(document: dict[str, Any]) -> str:
    """The figures as a part of the page of the documentation."""
    rows = [Row(**(row | {"case": Case(**row["case"])})) for row in document["rows"]]
    lines = "\n".join(
        f"| {row.case} | {statistics.median(row.seconds):.2f} | {max(row.seconds):.2f} |"
        f" {row.cpu['clock']:.2f} | {row.cpu['postgres']:.2f} | {row.cpu['broker']:.2f} |"
        for row in rows
    )
    revision, load = document["versions"]["Millrace"], f"{document['load']:.0f}"
    return _SECTION.format(lines=lines, taken_at=document["taken_at"], revision=revision, load=load, rounds=ROUNDS)


_SECTION = """
## Due in the same second

How long it takes from an instant until everything that was delayed until then is with the broker, confirmed and noted,
by the ledger's clock. One clock that was idle before, statistics of a ledger without tickets, private servers on the
same machine, {rounds} rounds. Measured on {taken_at} at {revision}, when the machine had a load of {load} already;
repeat it with `python -m bench due --keep`. A ticket each is the worst case: events that were posted one by one. A
worker that takes them at once has its share of the same cores. While a transaction is open, nothing that went since is
tidied up: 120,000 tickets are what ten minutes of 200 single posts a second leave behind.

| | all published after, s (median) | at most, s | CPU of the clock, s | of PostgreSQL | of RabbitMQ |
|---|---:|---:|---:|---:|---:|
{lines}
"""

"""How late slots are fired, and what that costs, by how many schedules there are and how many are due at once.

One clock on private servers fires schedules that were made at run time; nobody works their events. Lateness is what the
ledger has noted: from a slot's instant to the insertion of its event; and, for its ticket, to the broker's confirm.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from bench import machine, processes, servers, usage
from bench.errors import BenchError
from service.ledger import migrate
from service.local import ports

ROOT = Path(__file__).parent.parent
SETTLED = 3.0  #: seconds that a clock has for itself, before the first instant
INSERTED = 4_000  #: schedules that a busy machine makes in a second
CLOCK = ("celery", "-A", "schedules", "beat", "--pidfile=", "-l", "WARNING")
IDLE = 15.0  #: seconds over which a clock with nothing to do is watched

#: Schedules whose instants are spread evenly: each second so many are due. In a burst all are due in the first one.
MAKE = """
insert into millrace.schedules (name, type, spec, origin, next_due, open_since)
select 's' || n, %(type)s,
       jsonb_build_object('type', %(type)s::text, 'payload', jsonb_build_object('n', n), 'plan', jsonb_build_object(
           'every', %(interval)s::float8, 'anchor', to_char(first at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))),
       'api', first, now()
from generate_series(0, %(schedules)s - 1) n,
     lateral (select %(start)s::timestamptz + make_interval(secs => n / %(due)s) as first) f
"""

FIGURES = """
select count(*)::int, coalesce(percentile_cont(0.5) within group (order by late), 0),
       coalesce(percentile_cont(0.99) within group (order by late), 0), coalesce(max(late), 0)
from millrace.slots where due_at < %(end)s
"""

PUBLISHED = """
select coalesce(max(extract(epoch from t.published_at - e.slot_at))::float8, 0),
       count(*) filter (where t.published_at is null)
from millrace.tickets t join millrace.events e on e.id = t.event_ids[1] where e.slot_at < %(end)s
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    schedules: int
    due: int  #: in each second; in a burst, in the first one
    seconds: int  #: how long; 1: a burst
    type: str = "ticks.bundled"


CASES = (
    Case(1_000, 0, 0),
    Case(100_000, 0, 0),
    Case(1_000, 10, 20),
    Case(1_000, 100, 10),
    Case(1_000, 1_000, 1),
    Case(10_000, 100, 20),
    Case(100_000, 100, 20),
    Case(100_000, 500, 10),
    Case(100_000, 5_000, 1),
    Case(100_000, 5_000, 1, "ticks.alone"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """What was found for one case. Times in seconds."""

    case: Case
    slots: int
    p50: float
    p99: float
    latest: float
    published: float  #: until the last ticket's confirm
    clock: float  #: share of a core
    postgres: float  #: share of a core


def run(cases: tuple[Case, ...], tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure, and all that was found as JSON."""
    taken_at = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    var = ROOT / "var" / "bench"
    (var / "log").mkdir(parents=True, exist_ok=True)
    found, load = [], os.getloadavg()[0]
    tell("starting PostgreSQL and RabbitMQ")
    with tempfile.TemporaryDirectory(prefix="servers-", dir=var) as data, servers.running(Path(data)) as both:
        for number, case in enumerate(cases):
            row = _measure(case, both, var / "log" / f"clock-{number}.log")
            tell(line(row))
            found.append(row)
        versions = both.versions()
    ours = {"Millrace": machine.revision(ROOT)}
    return {
        "taken_at": taken_at,
        "load": load,
        "machine": machine.describe(),
        "versions": ours | versions,
        "rows": [dataclasses.asdict(row) for row in found],
    }


def section(document: dict[str, Any]) -> str:
    """The figures as a part of the page of the documentation."""
    rows = [Row(**(row | {"case": Case(**row["case"])})) for row in document["rows"]]
    lines = "\n".join(_markdown(row) for row in rows)
    revision, load = document["versions"]["Millrace"], f"{document['load']:.0f}"
    return _SECTION.format(lines=lines, taken_at=document["taken_at"], revision=revision, load=load)


def line(row: Row) -> str:
    """A row for the terminal."""
    what = _what(row.case)
    if not row.case.due:
        return f"{what}: clock {row.clock:.1%} of a core, PostgreSQL {row.postgres:.1%}"
    return (
        f"{what}: late p50 {row.p50 * 1000:.0f} ms, p99 {row.p99 * 1000:.0f} ms, at most {row.latest * 1000:.0f} ms;"
        f" published after {row.published:.2f} s; clock {row.clock:.0%} of a core, PostgreSQL {row.postgres:.0%}"
    )


def _measure(case: Case, both: servers.Servers, log: Path) -> Row:
    with road(both, log, CLOCK) as (cursor, [clock]):
        wait_for_clock(cursor, clock)
        return _watch(case, cursor, clock, both)


@contextlib.contextmanager
def road(both: servers.Servers, log: Path, *commands: Sequence[str]) -> Iterator[tuple[Any, list[processes.Process]]]:
    """A fresh ledger and its processes: (a cursor in autocommit, the processes, whose logs stand beside ``log``)."""
    url = both.fresh_database()
    migrate.migrate(url)
    settings = {
        "MILLRACE_APPS": "bench.ticks",
        "MILLRACE_DATABASE_URL": url,
        "MILLRACE_BROKER_URL": both.fresh_vhost("schedules"),
        "MILLRACE_LOG_LEVEL": "warning",
    }
    with contextlib.ExitStack() as stack:
        started = []
        for number, command in enumerate(commands):
            own = settings | {"MILLRACE_METRICS_PORT": str(ports.free())}
            environment = processes.environment(ROOT, Path(sys.executable).parent, own)
            process = processes.Process(command, environment, ROOT, log.with_name(f"{log.stem}-{number}{log.suffix}"))
            stack.callback(process.stop)
            started.append(process)
        connection = stack.enter_context(closing(psycopg2.connect(url)))
        connection.autocommit = True
        yield connection.cursor(), started


def _watch(case: Case, cursor: Any, clock: processes.Process, both: servers.Servers) -> Row:
    groups = {"clock": [clock.pid], "postgres": both.pids["postgres"]}
    usage.wait_for_rest([clock.pid])
    lead = 3600.0 if not case.due else SETTLED + case.schedules / INSERTED
    cursor.execute("select date_trunc('second', clock_timestamp()) + make_interval(secs => %s)", (lead,))
    start = cursor.fetchone()[0]
    end = start + datetime.timedelta(seconds=case.seconds)
    due = case.due or 1
    interval = min(86_400.0, max(3600.0, case.schedules / due))
    values = {"type": case.type, "interval": interval, "schedules": case.schedules, "due": due, "start": start}
    cursor.execute(MAKE, values)
    cursor.execute("vacuum analyze millrace.schedules")
    if not case.due:
        usage.wait_for_rest([clock.pid])
        meter = usage.Meter(groups)
        time.sleep(IDLE)
        spent = meter.spent()
        return Row(case, 0, 0.0, 0.0, 0.0, 0.0, spent["clock"] / IDLE, spent["postgres"] / IDLE)
    sleep_until(cursor, start - datetime.timedelta(seconds=0.5))
    meter, begun = usage.Meter(groups), time.monotonic()
    wanted, deadline = case.due * case.seconds, time.monotonic() + case.seconds + 60
    while True:
        clock.check()
        cursor.execute(PUBLISHED, {"end": end})
        published, waiting = cursor.fetchone()
        cursor.execute(FIGURES, {"end": end})
        count, p50, p99, latest = cursor.fetchone()
        if (count >= wanted and not waiting) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    took, spent = max(time.monotonic() - begun, case.seconds), meter.spent()
    if count != wanted:
        raise BenchError(f"{_what(case)}: {count} of {wanted} slots were fired")
    return Row(case, count, p50, p99, latest, published, spent["clock"] / took, spent["postgres"] / took)


def wait_for_clock(cursor: Any, clock: processes.Process) -> None:
    """Wait until a clock has begun its rounds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        clock.check()
        cursor.execute("select exists (select from millrace.duties where done_at > '-infinity')")
        if cursor.fetchone()[0]:
            return
        time.sleep(0.1)
    raise BenchError("the clock has not begun within a minute")


def sleep_until(cursor: Any, moment: datetime.datetime) -> None:
    """Sleep until an instant of the ledger's clock; raises BenchError if it has passed."""
    cursor.execute("select extract(epoch from %s - clock_timestamp())::float8", (moment,))
    left = cursor.fetchone()[0]
    if left < 0:
        raise BenchError("all was made too late: this machine is too busy to measure on")
    time.sleep(left)


def _what(case: Case) -> str:
    if not case.due:
        return f"{case.schedules:,} schedules, none due"
    when = "at once" if case.seconds == 1 else f"each second for {case.seconds} s"
    return f"{case.schedules:,} schedules, {case.due:,} due {when}" + (
        ", a ticket each" if case.type == "ticks.alone" else ""
    )


def _markdown(row: Row) -> str:
    cpu = f"{row.clock:.1%} | {row.postgres:.1%} |"
    if not row.case.due:
        return f"| {_what(row.case)} | | | | | {cpu}"
    late = " | ".join(f"{seconds * 1000:,.0f}" for seconds in (row.p50, row.p99, row.latest))
    return f"| {_what(row.case)} | {late} | {row.published:.2f} | {cpu}"


_SECTION = """
## Schedules

How late a slot is: from its instant to the insertion of its event, by the ledger's clock; and how long it takes until
the last ticket is confirmed by the broker. One clock, no workers, private servers on the same machine; up to fifty
ticks of one type ride on a ticket, unless it says otherwise. CPU as a share of one core. Measured on {taken_at} at
{revision}, when the machine had a load of {load} already; repeat it with `python -m bench schedules --keep`.

| | late p50, ms | p99, ms | at most, ms | all published after, s | clock | PostgreSQL |
|---|---:|---:|---:|---:|---:|---:|
{lines}
"""

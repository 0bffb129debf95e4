"""The ledger at size: does what asks it cost the same with ten million events as with ten thousand?

Two ledgers on one PostgreSQL hold a month each and the same open events. Every step (``bench.looks``) is done on both
in turn, round after round; PostgreSQL itself tells what its statements took (``pg_stat_statements``), planning
included, and how many pages they touched. A step's figure is the median of the rounds.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2

from bench import filling, looks, machine, run
from service.local.postgres import PostgresServer

SMALL = 10_000  #: events in the ledger that is compared with
TIMES = 5  #: how often a step is done in a round
LIMIT = 1.2  #: how many times longer a step may take in the large ledger
#: Milliseconds; what is less than this longer is noise.
NOISE = 0.1
OPTIONS = {
    "fsync": "off",  # What is measured waits for no disk; the filling would.
    "full_page_writes": "off",
    "max_wal_size": "8GB",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_planning": "on",
    "pg_stat_statements.track_utility": "off",
    "pg_stat_statements.track": "all",
}

FORGET = "select pg_stat_statements_reset()"
# Of a statement the mean, times how often a step runs it. Those inside a function are counted with the function.
FIGURES = """
select query, calls, mean_plan_time + mean_exec_time, (shared_blks_hit + shared_blks_read)::float8 / calls
from pg_stat_statements s join pg_database d on d.oid = s.dbid
where d.datname = current_database() and toplevel and calls > 0 and query not like '%%/* bench */%%'
  and query not like '%%pg_stat_statements%%'
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A step in both ledgers."""

    group: str
    name: str
    ms: tuple[float, float]  #: of PostgreSQL, in the small and in the large one
    whole: tuple[float, float]  #: ms of everything, our own code included
    pages: tuple[float, float]  #: of 8 KB that were touched
    worst: str  #: the statement that grew most

    @property
    def ratio(self) -> float:
        """How many times longer it takes in the large ledger."""
        return self.ms[1] / self.ms[0] if self.ms[0] else 1.0

    @property
    def grows(self) -> bool:
        """Whether it takes longer there than it may."""
        return self.ratio > LIMIT and self.ms[1] - self.ms[0] > NOISE


def measure(events: int, rounds: int, command: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Fill two ledgers, measure every step in both, and all that was found as JSON."""
    taken_at = run.now()
    run.VAR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=run.VAR) as folder, ExitStack() as stack:
        server = PostgresServer(Path(folder), options=OPTIONS).start()
        stack.callback(server.stop)
        addresses = []
        for name, number in (("small", SMALL), ("large", events)):
            server.execute(f"create database {name}")
            server.execute("create extension pg_stat_statements", name)
            addresses.append(server.dsn_of(name))
            filled = _Counter(number, tell)
            filling.fill(addresses[-1], number, filled.more)
        sizes = [server.execute(f"select pg_database_size('{n}')")[0][0] for n in ("small", "large")]
        rows, failed = _steps(addresses, rounds, tell)
        version = server.version.split(" ", 1)
    return {
        "taken_at": taken_at,
        "command": command,
        "events": [SMALL, events],
        "database_mb": [int(str(size)) // 1_000_000 for size in sizes],
        "rounds": rounds,
        "machine": machine.describe(),
        "versions": {"Millrace": machine.revision(run.ROOT), version[0]: version[1]},
        "rows": [dataclasses.asdict(row) for row in rows],
        "failed": failed,
    }


def rows_of(document: dict[str, Any]) -> list[Row]:
    """The rows of a result."""
    pairs = ("ms", "whole", "pages")
    return [Row(**(row | {name: tuple(row[name]) for name in pairs})) for row in document["rows"]]


def lines(document: dict[str, Any]) -> Iterator[str]:
    """For the terminal."""
    for row in rows_of(document):
        mark = "  <-- grows" if row.grows and row.group != looks.WHOLE else ""
        times = f"{row.ms[0]:>9.2f} ms {row.ms[1]:>9.2f} ms  x{row.ratio:.2f}"
        yield f"{row.group:<20}{row.name:<46}{times}{row.whole[1]:>7.0f} ms in all{mark}"


def section(document: dict[str, Any]) -> str:
    """The figures as a part of the page of the documentation."""
    found = rows_of(document)
    small, large = document["events"]
    grow = [row for row in found if row.grows and row.group != looks.WHOLE]
    said = (
        f"Of {len(found)} steps, {len(grow)} take more than {LIMIT:g} times as long: {', '.join(r.name for r in grow)}."
        if grow
        else f"None of {len(found)} steps takes more than {LIMIT:g} times as long."
    )
    table = "\n".join(
        f"| {row.group} | `{row.name}` | {row.ms[0]:.2f} | {row.ms[1]:.2f} | {_ratio(row)} | {row.pages[0]:.0f} |"
        f" {row.pages[1]:.0f} | {row.whole[1]:.0f} |"
        for row in found
        if row.group != looks.WHOLE
    )
    whole = "\n".join(
        f"- {row.name}: {row.ms[0]:,.0f} ms and {row.ms[1]:,.0f} ms" for row in found if row.group == looks.WHOLE
    )
    return _SECTION.format(
        small=f"{small:,}", large=f"{large:,}", mb=[f"{n:,}" for n in document["database_mb"]], said=said, table=table,
        whole=whole, times=TIMES * document["rounds"], rounds=document["rounds"], noise=NOISE, open=filling.OPEN,
        days=filling.DAYS, slowest=max((row.whole[1] for row in found if row.group == looks.LOOKS), default=0.0),
        **{name: document[name] for name in ("taken_at", "command")},
        revision=document["versions"]["Millrace"], postgres=document["versions"].get("PostgreSQL", ""),
    )  # fmt: skip


_SECTION = """\
## The ledger at size

Two ledgers with a month of events over {days} daily partitions, one of {small} ({mb[0]} MB) and one of {large}
({mb[1]} MB), both with {open:,} open ones. Everything that asks the ledger was done on both in turn; the times are
PostgreSQL's own, planning included, for all statements of a step, medians of {rounds} rounds. {said} (Differences under
{noise:g} ms are noise.) The last column is the whole step with {large}, our own code included: the slowest page took
{slowest:.0f} ms.

| | step | ms at {small} | ms at {large} | times | pages | pages | whole, ms |
|---|---|---:|---:|---:|---:|---:|---:|
{table}

Meant to read all there is, and never on the road:

{whole}

Taken on {taken_at} at {revision}, PostgreSQL {postgres}, with `{command}`.
"""


def _ratio(row: Row) -> str:
    return f"**{row.ratio:.2f}**" if row.grows else f"{row.ratio:.2f}"


def _steps(addresses: Sequence[str], rounds: int, tell: Callable[[str], None]) -> tuple[list[Row], list[str]]:
    with ExitStack() as stack:
        roads = [stack.enter_context(closing(looks.Road(address))) for address in addresses]
        meters = [stack.enter_context(closing(psycopg2.connect(address))) for address in addresses]
        for meter in meters:
            meter.autocommit = True
        rows, failed = [], []
        for pair in zip(*(road.steps() for road in roads), strict=True):
            rounds_here = 1 if pair[0].group == looks.WHOLE else rounds
            try:
                rows.append(_step(pair, meters, rounds_here))
            except ValueError as error:  # It took longer than it may.
                failed.append(f"{pair[0].name}: {str(error)[:200]}")
                tell(f"FAILED {failed[-1]}")
                continue
            tell(next(lines({"rows": [dataclasses.asdict(rows[-1])]})))
        return rows, failed


def _step(pair: Sequence[looks.Step], meters: Sequence[Any], rounds: int) -> Row:
    found: list[list[dict[str, tuple[float, float]]]] = [[], []]
    whole: list[list[float]] = [[], []]
    for round_ in range(rounds + 1):  # The first one warms up.
        for number, (step, meter) in enumerate(zip(pair, meters, strict=True)):
            _ask(meter, FORGET)
            times = TIMES if rounds > 1 else 1
            for _ in range(times):
                begin = time.perf_counter()
                step.once()
                if round_:
                    whole[number].append(1000 * (time.perf_counter() - begin))
            found[number].append(
                {
                    query: (max(calls / times, 1.0) * ms, max(calls / times, 1.0) * pages)
                    for query, calls, ms, pages in _ask(meter, FIGURES)
                }
            )
    small, large = ([(_sum(one, 0), _sum(one, 1)) for one in each[1:]] for each in found)
    grown = {query: _median(found[1], query) - _median(found[0], query) for query in found[1][-1]}
    return Row(
        pair[0].group,
        pair[0].name,
        (statistics.median(ms for ms, _ in small), statistics.median(ms for ms, _ in large)),
        (statistics.median(whole[0]), statistics.median(whole[1])),
        (statistics.median(pages for _, pages in small), statistics.median(pages for _, pages in large)),
        max(grown, key=lambda query: grown[query], default=""),
    )


def _sum(one: dict[str, tuple[float, float]], place: int) -> float:
    return sum(figures[place] for figures in one.values())


def _median(each: Sequence[dict[str, tuple[float, float]]], query: str) -> float:
    return statistics.median(one.get(query, (0.0, 0.0))[0] for one in each[1:])


def _ask(meter: Any, statement: str) -> list[Any]:
    with meter.cursor() as cursor:
        cursor.execute(statement.replace("%%", "%"))
        return list(cursor.fetchall())


class _Counter:
    """How far the filling is, in words, now and then."""

    def __init__(self, number: int, tell: Callable[[str], None]) -> None:
        self._number, self._tell, self._done = number, tell, 0

    def more(self, events: int) -> None:
        """So many more are there."""
        self._done += events
        if self._number > SMALL:
            self._tell(f"filled {self._done:,} of {self._number:,}")

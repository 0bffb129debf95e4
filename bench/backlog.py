"""A backlog: orders are accepted while no worker runs, and then drained. Does the rate hold from full to empty?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import machine, run, stage, usage, work
from bench.contestant import Contestant, Scale
from bench.database import Table
from bench.errors import BenchError
from bench.shapes import Shape
from bench.terminal import Display

#: Parts into which the drain is cut.
PARTS = 10
#: Few, so that nothing is refused for being too much at once.
CONNECTIONS = 8
#: Seconds for all to be accepted.
ACCEPT_SECONDS = 1800.0
#: Seconds without a new row after which the rest counts as lost; workers start meanwhile.
DRAIN_PATIENCE = 60.0
#: The rate of the slowest tenth may be so much below that of the fastest.
SPREAD = 0.20


@dataclass(frozen=True)
class Backlog:
    """What became of a backlog."""

    contestant: str
    taken_at: str
    command: str
    orders: int
    refused: int
    accepted_per_s: float
    #: Rows per second in each tenth of the rows, from full to empty.
    drained_per_s: Sequence[float]
    #: Resident memory of the broker, MB: before, with the backlog, after.
    broker_mb: Sequence[float]
    #: The contestant's database on disk, MB: before, with the backlog, after.
    database_mb: Sequence[float]
    lost: int
    wrong: int
    machine: dict[str, str]
    versions: dict[str, str]
    #: What it left behind in Millrace's tables.
    tables: Sequence[Table] = ()

    @property
    def verdict(self) -> str:
        """Whether the rate is constant, in words."""
        # The first tenth holds the start of the workers, the last one the end of their work; neither is left out.
        slowest, fastest = min(self.drained_per_s), max(self.drained_per_s)
        spread = 1 - slowest / fastest
        kind = "constant" if spread <= SPREAD else "not constant"
        return (
            f"The rate is {kind} from full to empty: the slowest tenth has {slowest:,.0f} per second, {spread:.0%} less"
            f" than the fastest ({fastest:,.0f})."
        )

    def document(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return dataclasses.asdict(self) | {"verdict": self.verdict}


def from_document(document: dict[str, Any]) -> Backlog:
    """Read back what :meth:`Backlog.document` wrote."""
    found = {name: value for name, value in document.items() if name != "verdict"}
    return Backlog(**found | {"tables": tuple(Table(**each) for each in document.get("tables", ()))})


def measure(contestant: Contestant, orders: int, command: str, display: Display) -> Backlog:
    """Let a backlog of so many orders pile up, and drain it."""
    taken_at = run.now()
    with (
        run.place(display, peers=contestant.peer) as here,
        stage.empty(contestant, Scale(), here) as on_stage,
    ):
        broker, database = [], []

        def weigh() -> None:
            broker.append(round(usage.resident_mb(here.servers.pids["broker"]), 1))
            database.append(round(on_stage.rows.database_bytes() / 1e6, 1))

        on_stage.start_web()
        weigh()
        display.note(f"{contestant.name}: accepting {orders:,} orders while no worker runs")
        load = on_stage.post(Shape("backlog", "", ACCEPT_SECONDS, connections=CONNECTIONS, batch=100, orders=orders))
        weigh()
        display.note(f"{contestant.name}: draining")
        on_stage.start_workers()
        display.start_rounds(load.accepted)
        on_stage.rows.wait_for(load.accepted, on_stage.check, display.reached, DRAIN_PATIENCE)
        weigh()
        rows = list(on_stage.rows.all())
        check = work.check(((id_, value) for id_, value, _ in rows), load.prefix, load.sent, load.refused)
        if not check.committed:
            raise BenchError("no order was committed")
        return Backlog(
            contestant=contestant.name,
            taken_at=taken_at,
            command=command,
            orders=load.accepted,
            refused=len(load.refused),
            accepted_per_s=load.accepted / load.seconds,
            drained_per_s=by_parts(sorted(at for _, _, at in rows)),
            broker_mb=broker,
            database_mb=database,
            lost=check.lost,
            wrong=check.wrong,
            machine=machine.describe(),
            versions=run.versions(here),
            tables=on_stage.rows.tables(check.committed),
        )


def by_parts(instants: Sequence[float], parts: int = PARTS) -> list[float]:
    """Rows per second in each part of the rows; `instants` are when each was committed, sorted.

    Rows of one commit have one instant, so a part ends with the last row of a commit.
    """
    cuts = [instants[round((len(instants) - 1) * part / parts)] for part in range(parts + 1)]
    counts = [sum(1 for at in instants if low < at <= high) for low, high in itertools.pairwise(cuts)]
    return [
        round(count / (high - low), 1) if high > low else 0.0
        for count, (low, high) in zip(counts, itertools.pairwise(cuts), strict=True)
    ]


def lines(found: Backlog) -> list[str]:
    """The result as text."""
    tenths = "  ".join(f"{rate:,.0f}" for rate in found.drained_per_s)
    return [
        f"{found.contestant}: {found.orders:,} orders accepted with no worker running,"
        f" {found.accepted_per_s:,.0f} per second",
        f"drained per second, by tenths from full to empty: {tenths}",
        f"memory of the broker, MB: {_three(found.broker_mb)}",
        f"database on disk, MB: {_three(found.database_mb)}",
        f"refused {found.refused}, lost {found.lost}, wrong {found.wrong}",
        found.verdict,
        *map(_left, found.tables),
    ]


def _left(table: Table) -> str:
    """A table with its bloat."""
    said = f"{table.name}: {table.inserted:,} rows inserted"
    if table.updated:
        said += f", {table.updated:,} updates ({table.hot / table.updated:.1%} HOT)"
    if table.deleted:
        said += f", {table.deleted:,} deleted"
    dead, free = table.dead_bytes / max(1, table.bytes), table.free_bytes / max(1, table.bytes)
    return f"{said}; {table.bytes / 1e6:,.0f} MB, of which {dead:.1%} dead and {free:.1%} free"


def _three(values: Sequence[float]) -> str:
    before, full, after = values
    return f"{before:,.0f} before, {full:,.0f} with the backlog, {after:,.0f} after"

"""What an event leaves and moves: bytes in the database, in its write-ahead log, and over the network; commits.

The network is what the loopback device carries, so it is right only where nobody else uses that: in a network of its
own, ``unshare --net sh -c 'ip link set lo up && python -m bench footprint'``, or on a machine that does nothing else.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2

from bench import machine, run, stage
from bench.contestant import Contestant, Scale
from bench.measure import AFTERMATH, warm_up_of
from bench.shapes import Shape
from bench.terminal import Display

KIND = "footprint"
#: What is sent: (shape of load) with an end by number, so that runs compare.
SHAPES = (
    Shape("single", "one per request", 30.0, orders=3_000),
    Shape("batch", "100 per request", 30.0, batch=100, orders=30_000),
)
DEVICES = pathlib.Path("/proc/net/dev")
LOOK = """
select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8, pg_database_size(current_database())::float8,
    (select sum(xact_commit) from pg_stat_database where datname = current_database())::float8
"""


@dataclass(frozen=True)
class Weight:
    """What one event has, on average, under one shape of load."""

    title: str
    events: int
    #: Bytes.
    database: float
    wal: float
    network: float
    #: Transactions, of the door, workers and clock.
    commits: float


@dataclass(frozen=True)
class Footprint:
    """A whole look."""

    contestant: str
    taken_at: str
    command: str
    weights: Sequence[Weight]
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return dataclasses.asdict(self)


def from_document(document: Mapping[str, Any]) -> Footprint:
    """Read back what :meth:`Footprint.document` wrote."""
    return Footprint(**{**document, "weights": [Weight(**one) for one in document["weights"]]})


def measure(contestant: Contestant, command: str, display: Display) -> Footprint:
    """Send some thousands of orders in each shape, and weigh what is there after them."""
    taken_at = run.now()
    with run.place(display, peers=contestant.peer) as here, stage.running(contestant, Scale(), here) as on_stage:
        weights = [_weigh(on_stage, shape) for shape in SHAPES]
        return Footprint(contestant.name, taken_at, command, weights, machine.describe(), run.versions(here))


def _weigh(on_stage: stage.Stage, shape: Shape) -> Weight:
    on_stage.warm_up(warm_up_of(shape))
    on_stage.rows.clear()
    before = _look(on_stage.database_url)
    load = on_stage.post(shape)
    on_stage.rows.wait_for(load.accepted, on_stage.check)
    time.sleep(AFTERMATH)
    grown = [after - was for after, was in zip(_look(on_stage.database_url), before, strict=True)]
    wal, database, commits, network = (value / load.accepted for value in grown)
    return Weight(shape.title, load.accepted, database, wal, network, commits)


def _look(url: str) -> list[float]:
    """Bytes of log and database, commits, bytes of loopback, since some beginning."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(LOOK)
        return [*map(float, cursor.fetchone() or ()), received(DEVICES.read_text())]


def received(devices: str) -> float:
    """Bytes that loopback has carried, from the text of ``/proc/net/dev``."""
    (line,) = [line for line in devices.splitlines() if line.strip().startswith("lo:")]
    return float(line.partition(":")[2].split()[0])


def lines(found: Footprint) -> list[str]:
    """The result as text."""
    return [
        f"{one.title}: {one.events:,} events; per event {one.database:,.0f} bytes of database, {one.wal:,.0f} of log,"
        f" {one.network:,.0f} over the network, {one.commits:.3f} commits"
        for one in found.weights
    ]

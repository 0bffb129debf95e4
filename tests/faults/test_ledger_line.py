"""Between the road and its ledger the network does what it likes, at the worst of moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from schedules import duty
from service.local.postgres import PostgresServer
from tests.faults.proxy import DOWN, UP, Cut, Proxy
from tests.patience import wait
from tests.road import Door, Process, Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
MakeLine = Callable[[int], Proxy]

STORED = b"insert into millrace.events"  #: the flush of a door begins so; PostgreSQL commits at the end of the string
EFFECT = b"insert into effects"
TAKEN = b"with recursive lanes"  #: the clock takes what is due
ROUNDS = 5  #: how often an answer is lost
FEW = 12  #: posts, where each waits for its deadline


class TestLine:
    """One web process, one worker and one clock, each with a line of its own to the ledger."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        return make_standing(soft_limit="20", hard_limit="30")

    @pytest.fixture(scope="class")
    @classmethod
    def lines(cls, make_line: MakeLine, ledger_server: PostgresServer) -> dict[str, Proxy]:
        return {name: make_line(ledger_server.port) for name in ("web", "worker", "clock")}

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, road: Road, lines: dict[str, Proxy]) -> Process:
        road.clock(database_url=through(lines["clock"], road))
        return road.worker(database_url=through(lines["worker"], road))

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road, lines: dict[str, Proxy]) -> Door:
        return road.web(database_url=through(lines["web"], road))

    @pytest.fixture(autouse=True)
    def the_same_processes_serve_afterwards(self, road: Road, worker: Process, door: Door) -> Iterator[None]:
        """Nothing is started again."""
        road.assert_worked_once([door.post("ledger.step").id])
        families = {p: p.family() for p in road.processes if p.code is None}
        yield
        road.assert_worked_once([door.post("ledger.step").id])
        assert {p: p.family() for p in families} == families

    @pytest.mark.fault(20)
    def test_packets_between_door_and_ledger_vanish(self, road: Road, door: Door, lines, trial) -> None:
        with trial(road, door) as load, lines["web"].weather_of(lost=True):
            wait(load.refused, 20, "posts are refused")
            load.wait_for(FEW)

    @pytest.mark.fault(20)
    @pytest.mark.parametrize("name", ["worker", "clock"])
    def test_packets_between_the_others_and_the_ledger_vanish(
        self, road: Road, door: Door, lines, name: str, trial
    ) -> None:
        with trial(road, door) as load, lines[name].weather_of(lost=True):
            # What only this process could bring on its way.
            waits = door.post("ledger.step").id if name == "worker" else kept_back(road)
            load.wait_for_accepted(200)
            assert not road.effects([waits]), "nothing vanished"
            assert not load.refused(), "the door is not concerned"
        road.assert_worked_once([waits])

    @pytest.mark.fault(20)
    def test_a_door_hangs_up_on_a_ledger_that_is_there_and_silent(self, road: Road, door: Door, lines, trial) -> None:
        """As behind a balancer that has lost its way: one connection is dead, nobody says so, and others would do."""
        with trial(road, door) as load:
            cut_once(lines["web"], Cut(DOWN, words=b"INSERT", since=STORED, silent=True))
            wait(load.unknown, 20, "a post is not answered by the ledger")
            load.wait_for_accepted(20)

    @pytest.mark.fault(20)
    def test_a_clock_hangs_up_on_a_ledger_that_is_there_and_silent(self, road: Road, worker: Process, lines) -> None:
        cut_once(lines["clock"], Cut(DOWN, words=b"UPDATE", since=TAKEN, silent=True))
        (ticket,) = road.store("ledger.step", ["{}"], head_start=0.1)  # Nobody but the clock publishes it.
        road.assert_worked_once(ticket.event_ids, 1.5 * duty.SILENT)

    @pytest.mark.fault(20)
    @pytest.mark.parametrize("table", ["millrace.events", "account"])
    def test_a_table_is_locked(self, road: Road, door: Door, table: str, trial) -> None:
        with trial(road, door) as load, road.locked(table):
            load.wait_for(FEW)
            assert bool(load.refused()) == (table == "millrace.events")

    @pytest.mark.fault(22)
    @pytest.mark.parametrize(
        ("direction", "words"), [(DOWN, b"INSERT"), (UP, STORED)], ids=["the answer is lost", "it never arrives"]
    )
    def test_the_connection_breaks_when_the_door_has_sent_its_commit(
        self, road: Road, door: Door, lines, direction: str, words: bytes, trial
    ) -> None:
        """On a new connection it looks whether the events are there, so that nobody need be told of it."""
        line = lines["web"]
        with trial(road, door) as load:
            for _ in range(ROUNDS):
                cut_once(line, Cut(direction, words=words, since=STORED))
                load.wait_for_accepted(10)
        assert load.accepted().keys() == load.answers.keys(), "the door did not look whether its commit came through"

    @pytest.mark.fault(22)
    @pytest.mark.parametrize(
        ("direction", "words"),
        [(DOWN, b"COMMIT\0"), (UP, b"commit\0")],  # The server's word for what was done; ours is the end of a string.
        ids=["the answer is lost", "it never arrives"],
    )
    def test_the_connection_breaks_when_the_worker_has_sent_its_commit(
        self, road: Road, door: Door, lines, direction: str, words: bytes, trial
    ) -> None:
        line = lines["worker"]
        before = road.one("select count(*) from millrace.attempts")
        with trial(road, door) as load:
            for _ in range(ROUNDS):
                cut_once(line, Cut(direction, words=words, since=EFFECT))
                load.wait_for_accepted(20)
        assert road.one("select count(*) from millrace.attempts") == before, "attempts were used up"


def through(line: Proxy, road: Road) -> str:
    """The ledger's address through a proxy that can read what passes."""
    return line.instead_of(road.database).replace("sslmode=require", "sslmode=disable")


def cut_once(line: Proxy, cut: Cut) -> None:
    """Wait until a connection was cut so."""
    done = line.cuts
    line.cut(cut)
    wait(lambda: line.cuts > done, 20, f"a connection is cut at {cut.words!r}")


def kept_back(road: Road) -> str:
    """An event whose ticket nobody but the clock will publish."""
    (ticket,) = road.store("ledger.step", ["{}"], head_start=0.1)
    return ticket.event_ids[0]

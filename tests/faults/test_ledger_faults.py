"""Without its ledger the road takes nothing, says so in time (P3), and goes on by itself when it is back (P1, P2)."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.application import execute
from service.local.postgres import PostgresServer
from tests.door import accepted, assert_in_time, refused
from tests.patience import wait
from tests.road import Door, Gate, Process, Road

OURS = "from pg_stat_activity where datname = current_database() and application_name"  #: sessions, by their role
#: What PostgreSQL says when the disk is full, said whenever a handler writes.
FULL_DISK = """
create function full_disk() returns trigger language plpgsql
as $$ begin raise 'could not extend file' using errcode = 'disk_full'; end $$;
create trigger full_disk before update on account execute function full_disk();
"""


class TestOutage:
    """PostgreSQL leaves one web process, one worker and one clock in different ways, and comes back."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing(soft_limit="40", hard_limit="50", fault_patience="1")
        road.clock()
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker()

    @pytest.fixture(autouse=True)
    def the_same_processes_serve_afterwards(self, road: Road, worker: Process, door: Door) -> Iterator[None]:
        """Nothing is started again, neither by us nor by its parent, and nobody is asked to try twice."""
        road.assert_worked_once([door.post("ledger.step").id])
        families = [p.family() for p in road.processes]
        yield
        road.assert_worked_once([door.post("ledger.step").id])
        assert [p.family() for p in road.processes] == families

    @pytest.fixture
    def server(self, ledger_server: PostgresServer) -> Iterator[PostgresServer]:
        """PostgreSQL, running again after the test."""
        yield ledger_server
        if ledger_server.pid is None:
            ledger_server.start()

    @pytest.mark.fault(15)
    def test_posts_are_refused_in_time_while_it_is_stopped(
        self, road: Road, door: Door, server: PostgresServer
    ) -> None:
        known = road.ids()
        server.stop()
        answers = door.post_all("ledger.step", [{}] * 300)
        server.start()
        refused(answers)
        assert_in_time(answers)
        assert road.ids() == known

    @pytest.mark.fault(15)
    def test_it_stops_under_a_stream_of_posts(self, road: Road, door: Door, server: PostgresServer) -> None:
        known = set(road.ids())
        with ThreadPoolExecutor(1) as pool:
            posting = pool.submit(door.post_all, "ledger.step", [{}] * 1_000)
            wait(lambda: len(road.ids()) > len(known) + 100, 10, "posts are stored", step=0.01)
            server.stop()
            answers = posting.result()
        server.start()
        assert_in_time(answers)
        told = set(accepted(a for a in answers if a.status == 202))
        unknown = refused(a for a in answers if a.status != 202)
        stored = set(road.ids()) - known
        assert told <= stored <= told | unknown
        road.assert_worked_once(stored)

    @pytest.mark.fault(15)
    @pytest.mark.parametrize("action", ["work.waiting", "work.returned"])
    def test_it_stops_in_mid_handler(
        self, road: Road, worker: Process, door: Door, server: PostgresServer, action: str
    ) -> None:
        """For a moment, which the worker waits out, or for so long that the broker has the ticket again."""
        gate = Gate(road.folder)
        accepted_id = door.post("ledger.step", do="gate", gate=str(gate.folder)).id
        gate.wait()
        said = worker.text().count(action)
        server.stop()
        gate.open()
        wait(lambda: worker.text().count(action) > said, 20, f"the worker logs {action}")
        server.start()
        road.assert_worked_once([accepted_id])

    def test_all_sessions_are_ended_between_two_posts(self, road: Road, door: Door) -> None:
        ours = {"millrace-intake", "millrace-worker", "millrace-release"}
        connected = f"select application_name {OURS} like 'millrace-%'"
        # The clock may not have been back since the server was away last.
        wait(lambda: {name for (name,) in road.sql(connected)} >= ours, 20, "all are connected")
        ended = road.sql(f"select application_name, pg_terminate_backend(pid) {OURS} like 'millrace-%'")
        assert {name for name, _ in ended} >= ours
        road.assert_worked_once([door.post("ledger.step").id])

    @pytest.mark.fault(20)
    def test_it_takes_a_statement_and_does_not_answer(self, road: Road, door: Door) -> None:
        known = set(road.ids())
        # It has nothing left to mark out, so that the statement is one with events.
        quiet = f"select pid {OURS} = 'millrace-intake' and state_change < clock_timestamp() - interval '1 s'"
        idle: list[tuple[int]] = []
        wait(lambda: idle.extend(road.sql(quiet)) or idle, 10, "the intake is idle")
        [(session,)] = idle
        os.kill(session, signal.SIGSTOP)
        try:
            answers = door.post_all("ledger.step", [{}] * 32, threads=32)
        finally:
            os.kill(session, signal.SIGCONT)
        assert_in_time(answers)
        unknown = refused(answers)
        assert 0 < len(unknown) < len(answers)
        wait(lambda: len(road.ids()) > len(known), 10, "the statement comes through")
        assert set(road.ids()) - known == unknown
        road.assert_worked_once(unknown)


@pytest.mark.fault(28)
def test_a_frozen_worker_loses_its_transaction_to_another(make_road: Callable[..., Road]) -> None:
    """PostgreSQL ends a transaction that stays idle for the hard limit and ten seconds more."""
    road = make_road(soft_limit="2", hard_limit="3")
    road.clock()
    gate = Gate(road.folder)
    (ticket,) = road.store("ledger.step", [gate.payload, "{}"])
    frozen = road.worker(concurrency=1)
    road.publish(ticket)
    child, _ = gate.wait()
    frozen.freeze()
    gate.open()

    # The broker may have given up the frozen one by then, so it is not counted whether they are two.
    other = road.worker(concurrency=1, ready=False)
    road.assert_worked_once(ticket.event_ids, 60)

    # The child comes to life before its parent, whose time limits would keep it from trying to commit.
    os.kill(child, signal.SIGCONT)
    frozen.wait_for_text("work.waiting")
    frozen.thaw()
    road.wait_for_consumers(2)
    road.assert_worked_once(ticket.event_ids)
    assert (frozen.code, other.code) == (None, None)


@pytest.mark.fault(21)
def test_a_full_disk_is_no_crash(make_road: Callable[..., Road]) -> None:
    """A ticket that may have killed its worker is worked carefully, and waits out faults of the ledger all the same."""
    road = make_road(fault_patience="0.3")
    worker = road.worker("solo")
    (ticket,) = road.store("ledger.step", ["{}"])
    road.sql(FULL_DISK)
    road.publish(dataclasses.replace(ticket, careful=True))
    wait(lambda: worker.text().count("work.returned") > execute.CRASHES + 1, 20, "the ticket goes back time and again")
    road.sql("drop trigger full_disk on account")
    road.assert_worked_once(ticket.event_ids)

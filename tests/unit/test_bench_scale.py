"""Scale on paper: the arithmetic, the simulation, and how far both are from what was measured."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from bench import footprint, kept, ladder, report, scale, simulate
from bench.kernel import Behaviour, Machine, Process, Queue, Rest, Take, Work
from bench.ladder import Cost

COST = Cost("a", {"web": 0.4e-3, "worker": 0.3e-3, "broker": 0.1e-3, "postgres": 0.2e-3}, 0.0, 2_000.0)
ROAD = simulate.Road({**COST.demands, "generator": 0.0}, 64, 1, 1, 4, 256, 1, 0.5)


class TestKernel:
    def test_shares_cores_among_those_that_are_busy(self) -> None:
        machine, done = Machine(cores=2), []

        def works(name: str, seconds: float) -> Behaviour:
            yield Work(Process(name), seconds)
            done.append((name, round(machine.now, 6)))

        for name, seconds in (("short", 1.0), ("long", 2.0), ("other", 2.0)):
            machine.start(works(name, seconds))
        machine.run(until=10)
        # Three on two cores have two thirds each, until the short one has ended.
        assert done == [("short", 1.5), ("long", 2.5), ("other", 2.5)]
        assert machine.spent == pytest.approx({"short": 1.0, "long": 2.0, "other": 2.0})

    def test_a_process_does_one_thing_at_a_time(self) -> None:
        machine, process, done = Machine(cores=8), Process("one"), []

        def works(seconds: float) -> Behaviour:
            yield Work(process, seconds)
            done.append(machine.now)

        for _ in range(3):
            machine.start(works(1.0))
        machine.run(until=10)
        assert done == pytest.approx([1, 2, 3])

    def test_who_takes_is_given_all_that_waits_and_waits_for_the_first(self) -> None:
        machine, queue, seen = Machine(cores=1), Queue(), []

        def takes() -> Behaviour:
            for _ in range(3):
                seen.append(((yield Take(queue, 2)), machine.now))

        def gives() -> Behaviour:
            yield Rest(1.0)
            machine.put(queue, "a", "b", "c")
            yield Rest(1.0)
            machine.put(queue, "d")

        machine.start(takes())
        machine.start(gives())
        machine.run(until=5)
        assert seen == [(["a", "b"], 1.0), (["c"], 1.0), (["d"], 2.0)]


class TestSimulation:
    def test_a_road_with_cores_enough_gives_what_its_busiest_process_carries(self) -> None:
        found = simulate.simulate(ROAD)
        assert found.committed_per_s == pytest.approx(1 / COST.demands["web"], rel=0.05)
        assert found.busy["web"] == pytest.approx(1.0, abs=0.05)

    def test_a_machine_that_is_full_gives_what_its_cores_carry(self) -> None:
        found = simulate.simulate(dataclasses.replace(ROAD, cores=2, web=2))
        assert found.committed_per_s == pytest.approx(COST.bound(2), rel=0.05)

    def test_each_group_is_as_busy_as_the_law_says(self) -> None:
        found = simulate.simulate(ROAD)
        for group, demand in COST.demands.items():
            assert found.busy[group] == pytest.approx(found.committed_per_s * demand, rel=0.01), group

    def test_few_connections_wait_for_the_disk_instead_of_filling_the_machine(self) -> None:
        alone = simulate.simulate(dataclasses.replace(ROAD, connections=1))
        assert alone.flushed == 1
        # What a request waits for: the door, PostgreSQL's part for the door, the commit.
        trip = COST.demands["web"] + simulate.DOOR * COST.demands["postgres"] + simulate.COMMIT
        assert alone.accepted_per_s == pytest.approx(1 / trip, rel=0.01)

    def test_how_a_groups_time_is_split_hardly_matters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        road = dataclasses.replace(ROAD, cores=2, connections=32)
        usual = simulate.simulate(road).committed_per_s
        for name, share in itertools.product(("READING", "DOOR", "PARENT", "PUBLISHING"), (0.3, 0.7)):
            with monkeypatch.context() as patch:
                patch.setattr(simulate, name, share)
                assert simulate.simulate(road).committed_per_s == pytest.approx(usual, rel=0.15), (name, share)


class TestLadder:
    def test_of_cores_follows_the_law(self) -> None:
        rung = ladder.rung(COST, 3_000)
        assert rung.cores == {"web": 2, "worker": 2, "broker": 1, "postgres": 1}
        assert (rung.cells, rung.total, rung.name) == (1, 6, "one machine")

    def test_ends_in_cells_that_share_the_rate(self) -> None:
        rung = ladder.rung(COST, 100_000)
        assert ladder.per_cell(COST) == 20_000
        assert (rung.cells, rung.name) == (5, "cells")
        assert rung.cores["web"] == 14  # 20,000 times 0.4 ms are 8 cores, at 60 %.

    def test_never_goes_down_as_the_rate_goes_up(self) -> None:
        rungs = [ladder.rung(COST, rate) for rate in ladder.RATES]
        for low, high in itertools.pairwise(rungs):
            assert low.total <= high.total
        for rung in rungs:
            for group, cores in rung.cores.items():
                assert rung.rate * COST.demands[group] / rung.cells <= cores * ladder.HEADROOM + 1e-9


class TestKeptResults:
    """What the page says of itself."""

    def test_the_simulation_is_as_near_to_them_as_is_said(self) -> None:
        measurement = scale.source()
        assert measurement is not None
        cores = int(measurement.machine["cores"])
        seen = 0
        for section in measurement.sections:
            for result in [r for r in section.results if not r.peer and not section.shape.paced]:
                outcome = simulate.simulate(scale.road(section, result, cores))
                measured = result.figures.committed_per_s
                assert abs(outcome.committed_per_s / measured - 1) < simulate.ERROR, (section.key, result.name)
                assert measured < 1.02 * ladder.cost(section, result).bound(cores)
                seen += 1
        assert seen >= 2

    def test_the_page_has_every_part(self) -> None:
        page = (Path(report.__file__).parents[1] / "docs/scale.md").read_text()
        for title in (
            "What an event costs",
            "What is busy first",
            "The ladder in numbers",
            "Checked against a simulation",
        ):
            assert f"\n## {title}\n" in page
        assert "\n| 100,000 | " in page
        assert ("## Disk, write-ahead log, network" in page) == (kept.newest(footprint.KIND) is not None)


class TestFootprint:
    def test_reads_what_loopback_has_carried(self) -> None:
        text = "Inter-|   Receive\n face |bytes\n    lo: 1234 5 0 0 0 0 0 0 1234 5\n  eth0: 99 1 0\n"
        assert footprint.received(text) == 1234.0

    def test_is_kept_and_read_back(self) -> None:
        weight = footprint.Weight("one per request", 10, 900.0, 1500.0, 4000.0, 0.5)
        found = footprint.Footprint("millrace", "2026-01-31 08:00", "python -m bench footprint", [weight], {}, {})
        assert footprint.from_document(found.document()) == found
        assert "900 bytes of database" in footprint.lines(found)[0]

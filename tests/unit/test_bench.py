"""The benchmark's arithmetic: its check of every row, its statistics, what is written down and read back."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from bench import contestants, due, figures, profiles, results, schedules, work
from bench.contestant import Scale
from bench.errors import BenchError
from bench.load import Load
from tests import measurements

PREFIX = "0badcafe"


def order_id(number: int, prefix: str = PREFIX) -> uuid.UUID:
    return uuid.UUID(f"{prefix}-0000-4000-8000-{number:012x}")


def good_rows(*numbers: int) -> list[tuple[uuid.UUID, int]]:
    return [(order_id(number), work.expected_value(number)) for number in numbers]


class TestPercentile:
    @pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
    def test_is_the_smallest_value_that_the_share_does_not_exceed(self, share: float, expected: int) -> None:
        assert figures.percentile(list(range(100, 0, -1)), share) == expected

    def test_of_nothing_is_zero(self) -> None:
        assert figures.percentile([], 0.5) == 0


class TestCheck:
    def test_finds_nothing_when_every_accepted_order_has_its_row(self) -> None:
        found = work.check(good_rows(0, 1, 2), PREFIX, sent=3, refused=[])
        assert found == work.Check(committed=3, lost=0, wrong=0)

    def test_counts_an_accepted_order_without_a_row_as_lost(self) -> None:
        assert work.check(good_rows(0, 2), PREFIX, sent=3, refused=[]).lost == 1

    def test_lets_a_refused_order_have_a_row_or_none(self) -> None:
        found = work.check(good_rows(0, 1), PREFIX, sent=4, refused=[1, 3])
        assert found == work.Check(committed=2, lost=1, wrong=0)

    def test_counts_a_wrong_value(self) -> None:
        swapped = [(order_id(0), work.expected_value(1)), *good_rows(1)]
        assert work.check(swapped, PREFIX, sent=2, refused=[]).wrong == 1

    def test_counts_a_row_that_nobody_sent_as_wrong(self) -> None:
        found = work.check(good_rows(0, 7), PREFIX, sent=1, refused=[])
        assert (found.committed, found.wrong) == (2, 1)

    def test_leaves_out_the_rows_of_the_warm_up(self) -> None:
        warm = [(order_id(0, "00000000"), 5)]
        found = work.check(warm + good_rows(0), PREFIX, sent=1, refused=[])
        assert found == work.Check(committed=1, lost=0, wrong=0)

    def test_knows_an_order_by_its_number_alone(self) -> None:
        number = work.CUSTOMERS + 3
        posted = {"customer": "customer-3", "amount": number}
        assert work.compute_order(posted) == work.expected_value(number)


class TestFigures:
    LOAD = Load(
        prefix=PREFIX,
        sent=7,
        batch=2,
        refused_requests=(1,),
        started_at=1000.0,
        seconds=2.0,
        cpu_seconds=0.5,
        latencies_us=(1000.0, 2000.0, 9000.0, -1),
        answered_us=(1e6, 1.1e6, 2e6, -1),
    )

    def test_of_a_round_are_rates_percentiles_and_cpu_per_thousand(self) -> None:
        found = figures.from_round(
            self.LOAD,
            work.Check(committed=4, lost=0, wrong=0),
            committed_at={0: 1001.010, 1: 1000.5, 4: 1002.030, 5: 1004.0},
            spent=dict.fromkeys(figures.GROUPS, 0.002),
            machine_spent=0.6,
            own_spent=0.02,
            memory_mb=100.0,
        )
        assert found.accepted_per_s == pytest.approx(2.5)
        assert found.committed_per_s == pytest.approx(1.0)
        assert (found.p50_ms, found.p99_ms, found.max_ms) == (2.0, 9.0, 9.0)
        assert found.cpu_total == pytest.approx(2.0)
        assert found.generator == pytest.approx(125)
        assert found.foreign == pytest.approx(1 - 0.528 / 0.6)
        assert found.refused == 2

    def test_time_a_commit_from_the_answer_of_its_request_and_never_below_zero(self) -> None:
        found = figures.from_round(
            self.LOAD,
            work.Check(committed=4, lost=0, wrong=0),
            # Order 1 was committed before its answer came; orders 2 and 3 were refused, and do not count.
            committed_at={0: 1001.010, 1: 1000.5, 2: 1900.0, 4: 1002.030},
            spent=dict.fromkeys(figures.GROUPS, 0.002),
            machine_spent=0.6,
            own_spent=0.0,
            memory_mb=100.0,
        )
        assert found.worked_p50_ms == pytest.approx(10, abs=0.01)
        assert found.worked_p99_ms == pytest.approx(30, abs=0.01)

    def test_of_several_rounds_are_medians_but_faults_add_up(self) -> None:
        rounds = [
            measurements.figures(p99_ms=10.0, lost=1),
            measurements.figures(p99_ms=90.0, wrong=2),
            measurements.figures(p99_ms=20.0, lost=1),
        ]
        middle = figures.median(rounds)
        assert (middle.p99_ms, middle.lost, middle.wrong) == (20.0, 2, 2)

    def test_ratios_above_one_are_better_whatever_the_figure(self) -> None:
        peer = measurements.figures(
            accepted_per_s=1000.0,
            committed_per_s=500.0,
            p99_ms=92.0,
            worked_p99_ms=90.0,
            cpu=dict.fromkeys(figures.GROUPS, 0.6),
            memory_mb=554.0,
        )
        found = figures.ratios(measurements.figures(), peer)
        assert dataclasses.astuple(found) == pytest.approx((3.0, 5.8, 4.0, 3.0, 4.0, 2.0))


class TestResults:
    def test_come_back_unchanged_from_their_document(self) -> None:
        found = measurements.measurement()
        document = json.loads(json.dumps(found.document()))
        assert results.from_document(document).document() == found.document()
        assert document["sections"][0]["ratios"]["millrace to p2t"]["committed"] == pytest.approx(5.8)

    def test_are_sound_only_without_a_failure_or_a_fault(self) -> None:
        assert measurements.measurement().sound
        assert not measurements.measurement(failure="no order was committed").sound
        lossy = measurements.section(measurements.peer(measurements.figures(lost=1)))
        assert not measurements.measurement(lossy).sound


class TestLoad:
    def test_knows_the_orders_of_a_refused_request(self) -> None:
        load = TestFigures.LOAD
        assert (load.refused, load.accepted) == ([2, 3], 5)
        assert dataclasses.replace(load, refused_requests=(3,)).refused == [6]

    def test_knows_when_an_order_was_answered(self) -> None:
        assert TestFigures.LOAD.answered_at(5) == pytest.approx(1002.0)


class TestContestants:
    def test_are_named_in_the_order_of_the_catalogue(self) -> None:
        assert contestants.named(["p4", "millrace"]) == [contestants.MILLRACE, contestants.P4]

    def test_that_do_not_exist_are_named_in_the_error(self) -> None:
        with pytest.raises(BenchError, match="p9; known are millrace"):
            contestants.named(["p9"])

    def test_have_their_own_numbers_of_processes_where_a_scale_names_none(self) -> None:
        assert contestants.P2T.scaled(Scale(web=4)) == Scale(web=4, workers=1, children=4)


class TestProfiles:
    @pytest.mark.parametrize("profile", profiles.ALL.values(), ids=list(profiles.ALL))
    def test_name_contestants_that_can_do_it_and_sections_once(self, profile: profiles.Profile) -> None:
        chosen = contestants.named(profile.contestants)
        keys = [shape.key for _, shape in profile.sections]
        assert len(keys) == len(set(keys))
        assert max(shape.types for _, shape in profile.sections) <= min(each.types for each in chosen)


def kept(rows: Sequence[Any]) -> Any:
    """A document with these rows, as it is read again."""
    found = [dataclasses.asdict(row) for row in rows]
    document = {"taken_at": "2026-01-31 08:00", "load": 0.2, "versions": {"Millrace": "abc"}, "rows": found}
    return json.loads(json.dumps(document))


def test_the_figures_of_schedules_are_a_part_of_the_page() -> None:
    cases = [schedules.Case(1_000, 0, 0), schedules.Case(100_000, 5_000, 1, "ticks.alone")]
    found = [schedules.Row(case, case.due, 0.5, 1.25, 1.5, 1.75, 0.015, 0.02) for case in cases]
    section = schedules.section(kept(found))
    assert "| 1,000 schedules, none due | | | | | 1.5% | 2.0% |" in section
    assert (
        "| 100,000 schedules, 5,000 due at once, a ticket each | 500 | 1,250 | 1,500 | 1.75 | 1.5% | 2.0% |" in section
    )
    assert "p99 1250 ms" in schedules.line(found[1])


def test_what_is_due_in_the_same_second_is_a_part_of_the_page() -> None:
    cases = [due.Case(10_000, 1), due.Case(10_000, 50, worked=True)]
    found = [due.Row(case, [1.75, 1.5, 2.25], {"clock": 0.5, "postgres": 0.75, "broker": 1.0}) for case in cases]
    section = due.section(kept(found))
    assert "| 10,000 events, a ticket each, no worker | 1.75 | 2.25 | 0.50 | 0.75 | 1.00 |" in section
    assert "| 10,000 events, 50 on a ticket, a worker at them | 1.75 | 2.25 | 0.50 | 0.75 | 1.00 |" in section
    assert "after 1.75, 1.50, 2.25 s" in due.line(found[0])

"""What the benchmark shows: its tables, its pages, its charts, and its comparison with a kept result."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import (
    aims,
    backlog,
    bars,
    compare,
    contestants,
    database,
    kept,
    profiles,
    report,
    rows,
    schedules,
    shapes,
    soak,
    terminal,
)
from bench.contestant import Scale
from bench.errors import BenchError
from tests import measurements
from tests.measurements import figures, measurement, ours, peer, section


class TestTable:
    def test_fits_into_eighty_columns_with_every_contestant_of_a_profile(self) -> None:
        chosen = contestants.named(profiles.FULL.contestants)
        results = [peer(figures(), name=each.name) if each.peer else ours(name=each.name) for each in chosen]
        console = Console(width=80, record=True, file=io.StringIO())
        terminal.print_result(console, measurement(section(*results)))
        lines = console.export_text().splitlines()
        assert max(len(line.rstrip()) for line in lines) <= 80
        assert not any("…" in line for line in lines)

    def test_shows_ratios_against_the_common_peer_and_the_best_one(self) -> None:
        slow, fast = peer(figures(committed_per_s=1.0), name="p1"), peer(figures(committed_per_s=900.0), name="p4")
        found = section(ours(), slow, peer(), fast)
        assert [each.name for each in rows.references(found)] == ["p2t", "p4"]
        assert rows.best_peer(found) is fast
        accepted = rows.ratio_rows(found, found.results[2])[0]
        assert (accepted.label, list(accepted.cells)) == ("accepted", ["3.0x", "", "", ""])
        assert rows.references(section(peer())) == []

    def test_of_a_steady_flow_shows_times_and_no_rates(self) -> None:
        found = section(ours(), peer(), shape=shapes.paced(2))
        labels = [row.label for row in rows.figure_rows(found)]
        assert "to commit p99, ms" in labels
        assert "accepted /s" not in labels

    def test_shows_what_is_aimed_at_beside_what_was_reached(self) -> None:
        single = section(ours(figures(committed_per_s=2400.0)), peer(), peer(figures(), name="p4"))
        paced = section(ours(figures(worked_p50_ms=10.0, worked_p99_ms=30.1)), shape=shapes.paced(2))
        found = {row.label: list(row.cells) for row in aims.lines(measurement(single, paced))}
        assert found["&emsp;committed, bulk handler"] == ["5 (2)", "10 (5)", "4.8 (0.8)"]
        assert found["one order per request, accepted"] == ["2.5 (2)", "6 (5)", "3.0 (1.0)"]
        assert found["200 per second, answer to commit: p50"] == ["", "10 ms", "**10.0 ms**"]
        assert found["&emsp;p99"] == ["", "30 ms", "30.1 ms"]
        fast = section(ours(figures(committed_per_s=5000.0)), peer())
        found = {row.label: list(row.cells) for row in aims.lines(measurement(fast))}
        assert found["&emsp;committed, bulk handler"][2] == "**10.0** (**10.0**)"

    def test_warns_of_failures_faults_and_foreign_load(self) -> None:
        found = rows.warnings(measurement(section(peer(figures(lost=3, foreign=0.5))), failure="it did not start"))
        assert len(found) == 3
        assert "it did not start" in found[0]
        assert "3 rows lost" in found[1]
        assert "50%" in found[2]


class TestBars:
    def test_are_as_long_as_the_values_say(self) -> None:
        found = bars.text(bars.panels(measurement()))
        lengths = [line.count("█") for line in found.splitlines() if "█" in line]
        assert lengths == [40, 13, 40, 7]
        assert "2,900 /s" in found


def keep(folder: Path, profile: str, *sections: object) -> None:
    found = measurement(*sections, profile=profile)  # type: ignore[arg-type]
    kept.write(found.document(), profile, found.taken_at, folder)


class TestPage:
    def test_says_so_when_nothing_was_kept(self, tmp_path: Path) -> None:
        assert "`make bench` writes one" in report.performance(tmp_path)
        assert "`make bench PROFILE=cost` writes one" in report.scale(tmp_path)

    def test_holds_figures_ratios_machine_versions_and_command(self, tmp_path: Path) -> None:
        keep(tmp_path, "full")
        page = report.performance(tmp_path)
        for expected in (
            "| | millrace | p2t |",
            "| accepted /s | 3,000 | 1,000 |",
            "| committed | 5.8x |",
            "Times better than p2t (the best peer):",
            "serve millrace",
            "celery 5.7.0",
            "| PostgreSQL | 15.14 |",
            "`python -m bench run`",
        ):
            assert expected in page
        assert "Note." not in page

    def test_says_what_is_missing_in_one_line(self, tmp_path: Path) -> None:
        found = measurement(failure="it ended too early.\nline of a log")
        kept.write(found.document(), "full", found.taken_at, tmp_path)
        page = report.performance(tmp_path)
        assert "> **Note.** p2t: not every round was measured: it ended too early.\n" in page
        assert "line of a log" not in page

    def test_has_a_table_of_every_sweep_that_was_kept(self, tmp_path: Path) -> None:
        keep(tmp_path, "full")
        keep(tmp_path, "connections", section(shape=shapes.Shape("connections-8", "8 connections", 2)))
        assert "| &emsp;8 connections | 2,900 | 500 |" in report.performance(tmp_path)

    def test_is_written_from_the_newest_result(self, tmp_path: Path) -> None:
        keep(tmp_path, "full")
        newer = measurement(section(ours(figures(accepted_per_s=7777.0)), peer()))
        kept.write(newer.document(), "full", "2026-12-01 09:00", tmp_path)
        assert "7,777" in report.performance(tmp_path)

    def test_keeps_what_people_wrote_around_the_measured_part(self) -> None:
        page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        new = f"before\n{report.BEGIN}\n\nnew \\1\n\n{report.END}\nafter\n"
        assert report.between(page, report.BEGIN, "new \\1\n") == new
        with pytest.raises(BenchError, match="wants one line"):
            report.between("no marks", report.BEGIN, "new")

    @pytest.mark.parametrize("name", report.PAGES)
    def test_of_the_docs_is_that_of_the_kept_results(self, name: str) -> None:
        page = (Path(report.__file__).parents[1] / "docs" / name).read_text()
        assert page == report.renewed(name, page), "python -m bench report writes it anew"

    def test_keeps_the_table_of_schedules_until_one_is_kept(self, tmp_path: Path) -> None:
        page = f"{report.BEGIN}\n{report.END}\n{report.SCHEDULES}\nold table\n{report.END}\n"
        assert "old table" in report.renewed("performance.md", page, tmp_path)
        case = schedules.Case(1_000, 0, 0)
        row = dataclasses.asdict(schedules.Row(case, 0, 0.5, 1.25, 1.5, 1.75, 0.015, 0.02))
        document = {"load": 0.2, "versions": {"Millrace": "abc"}, "taken_at": "2026-01-31 08:00", "rows": [row]}
        kept.write(document, "schedules", "2026-01-31 08:00", tmp_path)
        renewed = report.renewed("performance.md", page, tmp_path)
        assert "old table" not in renewed
        assert "| 1,000 schedules, none due | | | | | 1.5% | 2.0% |" in renewed

    def test_of_scale_shows_what_was_foreseen_and_how_wrong_that_was(self, tmp_path: Path) -> None:
        keep(
            tmp_path,
            "cost",
            *(
                section(
                    ours(figures(committed_per_s=rate)),
                    shape=shapes.Shape(f"webs-{number}", "", 2),
                    scale=Scale(web=number, workers=1, children=8),
                )
                for number, rate in ((1, 1000.0), (2, 1900.0))
            ),
        )
        assert "| 2 | 1,900 | 2,000 (+5%) | 0.600 |" in report.scale(tmp_path)


class TestComparison:
    def test_tells_of_a_ratio_that_fell_by_more_than_a_tenth(self) -> None:
        now = measurement(section(ours(figures(committed_per_s=2000.0), figures(committed_per_s=2200.0)), peer()))
        found = compare.losses(now, measurement())
        assert [(loss.figure, loss.before, loss.now) for loss in found] == [("committed", 5.8, 4.2)]
        said = compare.words(now, measurement())
        assert "WARNING" in said[0]
        assert "was 5.80x and is 4.20x, 28% less (4.00 to 4.00 in its rounds)." in said[0]
        assert said[-1].endswith("1 ratios fell by more than 10%.")

    def test_says_when_a_loss_may_be_chance(self) -> None:
        now = ours(figures(committed_per_s=3000.0), figures(committed_per_s=1000.0))
        slow = peer(figures(committed_per_s=500.0), figures(committed_per_s=500.0))
        said = compare.words(measurement(section(now, slow)), measurement(section(ours(), slow)))
        assert "measure again" in " ".join(said)

    def test_is_silent_about_less_than_a_tenth_and_about_gains(self) -> None:
        now = measurement(section(ours(figures(committed_per_s=2700.0, accepted_per_s=9000.0)), peer()))
        assert compare.words(now, measurement())[0].endswith("no ratio fell by more than 10%.")

    def test_holds_for_latencies_of_a_steady_flow_and_not_for_its_rates(self) -> None:
        paced = shapes.paced(2)
        now = measurement(section(ours(figures(worked_p99_ms=60.0, accepted_per_s=1.0)), peer(), shape=paced))
        before = measurement(section(shape=paced))
        assert [loss.figure for loss in compare.losses(now, before)] == ["worked"]

    def test_leaves_out_what_only_one_of_them_measured(self) -> None:
        other = measurement(section(shape=shapes.batch(2)))
        assert "nothing is compared" in compare.words(measurement(), other)[0]
        assert "No kept result" in compare.words(measurement(), None)[0]


class TestBacklog:
    def test_of_even_commits_has_a_constant_rate(self) -> None:
        rates = backlog.by_parts([number / 100 for number in range(1001)])
        assert rates == pytest.approx([100.0] * 10)

    def test_that_slows_down_says_so(self) -> None:
        instants = [number / 100 for number in range(500)] + [5 + number / 10 for number in range(500)]
        rates = backlog.by_parts(instants)
        assert (rates[0], rates[-1]) == pytest.approx((100.0, 10.0), rel=0.02)
        table = database.Table("millrace.events", 1000, 1000, 990, 0, 2_000_000, 20_000, 500_000)
        plain = backlog.Backlog("millrace", "", "", 1000, 0, 1.0, rates, (1, 2, 1), (1, 2, 2), 0, 0, {}, {}, (table,))
        assert "not constant" in plain.verdict
        assert backlog.lines(plain)[-1] == (
            "millrace.events: 1,000 rows inserted, 1,000 updates (99.0% HOT); 2 MB, of which 1.0% dead and 25.0% free"
        )
        assert backlog.from_document(plain.document()) == plain


def soaked(memory: list[float], p99: list[float]) -> soak.Soak:
    samples = [soak.Sample(60.0 * number, "worker 1", mb, 20, 5) for number, mb in enumerate(memory)]
    return soak.Soak("millrace", "", "", 30, 3000, 2100, 1, 60, p99, samples, 0, 0, 0, {}, {})


class TestSoak:
    def test_that_is_flat_says_so(self) -> None:
        found = soaked([100.0 + number % 3 for number in range(30)], [12.0, 11.0] * 15)
        assert soak.verdict(found) == ["memory, open files, connections and the p99 of the answer are flat"]
        assert soak.from_document(found.document()) == found

    def test_names_what_grew(self) -> None:
        said = soak.verdict(soaked([100.0 + 2 * number for number in range(30)], [10.0] * 15 + [40.0] * 15))
        assert said == [
            "own memory of worker 1 grew from 114.0 to 150.0",
            "p99 of the answer of the door grew from 10.0 to 40.0",
        ]

    def test_cuts_the_answers_by_the_time_of_their_arrival(self) -> None:
        from bench.load import Load

        load = Load("", 4, 1, (), 0.0, 2.0, 0.0, (1000.0, 3000.0, 2000.0, -1), (1e5, 9e5, 1.2e6, -1))
        assert soak.p99_by_span(load, 1.0) == [3.0, 2.0]


def test_measurements_of_tests_are_sound() -> None:
    assert measurements.measurement().sound

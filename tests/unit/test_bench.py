"""The benchmark's pure parts: its statistics, its check of every row, its tables and its page."""

from __future__ import annotations

import dataclasses
import http.server
import io
import json
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bench import contestants, figures, report, rows, schedules, terminal, work
from bench.errors import BenchError
from bench.load import Generator, Load, parse

PREFIX = "0badcafe"


def order_id(number: int, prefix: str = PREFIX) -> uuid.UUID:
    return uuid.UUID(f"{prefix}-0000-4000-8000-{number:012x}")


def good_rows(*numbers: int) -> list[tuple[uuid.UUID, int]]:
    return [(order_id(number), work.expected_value(number)) for number in numbers]


def round_figures(**changes: object) -> figures.Figures:
    plain = figures.Figures(
        accepted_per_s=3000.0,
        committed_per_s=2900.0,
        p50_ms=9.7,
        p99_ms=23.0,
        max_ms=40.0,
        cpu={"web": 0.3, "worker": 0.1, "broker": 0.1, "postgres": 0.1},
        memory_mb=277.0,
        lost=0,
        wrong=0,
        refused=0,
        foreign=0.02,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def result(name: str, *rounds: figures.Figures, peer: bool, failure: str = "") -> figures.Result:
    return figures.Result(
        name=name,
        title=f"The {name} of this test",
        peer=peer,
        commands=[f"serve {name}"],
        packages={"celery": "5.7.0"},
        rounds=list(rounds),
        failure=failure,
    )


def measurement(*results: figures.Result) -> figures.Measurement:
    return figures.Measurement(
        taken_at="2026-11-20 20:15",
        command="python -m bench quick",
        events=3000,
        warm_up=300,
        connections=32,
        rounds=2,
        machine={"cores": "2"},
        versions={"PostgreSQL": "15.14"},
        results=list(results),
    )


@pytest.fixture
def both() -> figures.Measurement:
    slow = round_figures(accepted_per_s=1000.0, committed_per_s=500.0, p99_ms=92.0)
    return measurement(
        result("millrace", round_figures(), round_figures(), peer=False),
        result("p2t", slow, peer=True),
    )


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
    def test_of_a_round_are_rates_percentiles_and_cpu_per_thousand(self) -> None:
        load = Load(
            prefix=PREFIX,
            sent=2000,
            accepted=1990,
            refused=tuple(range(10)),
            started_at=1000.0,
            seconds=2.0,
            cpu_seconds=0.5,
            latencies_us=(1000.0, 2000.0, 9000.0),
        )
        found = figures.from_round(
            load,
            work.Check(committed=1990, lost=0, wrong=0),
            last_at=1003.98,
            spent=dict.fromkeys(figures.GROUPS, 0.995),
            machine_spent=5.0,
            own_spent=0.02,
            memory_mb=100.0,
        )
        assert found.accepted_per_s == pytest.approx(995)
        assert found.committed_per_s == pytest.approx(500)
        assert (found.p50_ms, found.p99_ms, found.max_ms) == (2.0, 9.0, 9.0)
        assert found.cpu_total == pytest.approx(2.0)
        assert found.foreign == pytest.approx(0.1)
        assert found.refused == 10

    def test_of_several_rounds_are_medians_but_faults_add_up(self) -> None:
        rounds = [
            round_figures(p99_ms=10.0, lost=1),
            round_figures(p99_ms=90.0, wrong=2),
            round_figures(p99_ms=20.0, lost=1),
        ]
        middle = figures.median(rounds)
        assert (middle.p99_ms, middle.lost, middle.wrong) == (20.0, 2, 2)

    def test_ratios_above_one_are_better_whatever_the_figure(self) -> None:
        peer = round_figures(
            accepted_per_s=1000.0,
            committed_per_s=500.0,
            p99_ms=92.0,
            cpu=dict.fromkeys(figures.GROUPS, 0.6),
            memory_mb=554.0,
        )
        found = figures.ratios(round_figures(), peer)
        assert dataclasses.astuple(found) == pytest.approx((3.0, 5.8, 4.0, 4.0, 2.0))

    def test_come_back_unchanged_from_their_document(self, both: figures.Measurement) -> None:
        document = json.loads(json.dumps(both.document()))
        again = figures.from_document(document)
        assert again.document() == both.document()
        assert document["ratios"]["millrace to p2t"]["committed"] == pytest.approx(5.8)

    def test_are_sound_only_without_a_failure_or_a_fault(self, both: figures.Measurement) -> None:
        assert both.sound
        failed = result("p4", peer=True, failure="no order was committed")
        assert not measurement(*both.results, failed).sound
        assert not measurement(result("p4", round_figures(lost=1), peer=True)).sound


class TestTable:
    def test_fits_into_eighty_columns_with_every_contestant(self) -> None:
        results = [result(each.name, round_figures(), peer=each.peer) for each in contestants.ALL]
        console = Console(width=80, record=True, file=io.StringIO())
        terminal.print_result(console, measurement(*results))
        lines = console.export_text().splitlines()
        assert max(len(line.rstrip()) for line in lines) <= 80
        assert not any("…" in line for line in lines)

    def test_shows_ratios_only_against_peers_that_were_measured(self, both: figures.Measurement) -> None:
        assert rows.peer_names(both) == ["p2t"]
        accepted = rows.ratio_rows(both, "p2t")[0]
        assert (accepted.label, list(accepted.cells)) == ("accepted", ["3.0x", ""])
        assert rows.peer_names(measurement(both.results[1])) == []

    def test_warns_of_failures_faults_and_foreign_load(self) -> None:
        found = rows.warnings(
            measurement(
                result("p2t", peer=True, failure="it did not start"),
                result("p4", round_figures(lost=3, foreign=0.5), peer=True),
            )
        )
        assert len(found) == 3
        assert "0 of 2 rounds" in found[0]
        assert "3 rows lost" in found[1]
        assert "50%" in found[2]


class TestReport:
    def test_holds_figures_ratios_machine_versions_and_command(self, both: figures.Measurement) -> None:
        page = report.page(both)
        for expected in (
            "| | millrace | p2t |",
            "| accepted /s | 3,000 | 1,000 |",
            "| committed | 5.8x |  |",
            "### Times better than p2t",
            "serve millrace",
            "celery 5.7.0",
            "| PostgreSQL | 15.14 |",
            "`python -m bench quick`",
        ):
            assert expected in page
        assert "Note." not in page

    def test_says_what_is_missing_in_one_line(self) -> None:
        failed = result("p4", peer=True, failure="it ended too early.\nline of a log")
        page = report.page(measurement(result("millrace", round_figures(), peer=False), failed))
        assert "> **Note.** p4: 0 of 2 rounds were measured: it ended too early.\n" in page
        assert "line of a log" not in page


class TestContestants:
    def test_are_named_in_the_order_of_the_catalogue(self) -> None:
        assert contestants.named(["p4", "millrace"]) == [contestants.MILLRACE, contestants.P4]

    def test_that_do_not_exist_are_named_in_the_error(self) -> None:
        with pytest.raises(BenchError, match="p9; known are millrace"):
            contestants.named(["p9"])


class _Door(http.server.BaseHTTPRequestHandler):
    """Takes orders, and refuses number 5."""

    protocol_version = "HTTP/1.1"
    orders: list[dict[str, object]]

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.orders.append(order)
        self.send_response(503 if order["amount"] == 5 else 202)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[tuple[int, list[dict[str, object]]]]:
    handler = type("Door", (_Door,), {"orders": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port, handler.orders
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator wants a C compiler")
class TestLoadGenerator:
    def test_posts_the_orders_that_the_check_expects(
        self, tmp_path: Path, door: tuple[int, list[dict[str, object]]]
    ) -> None:
        port, orders = door
        load = Generator.build(tmp_path).run(port, "/orders", 40, 4, PREFIX, 10.0)
        committed = [(uuid.UUID(str(each["order"])), work.compute_order(each)) for each in orders]
        assert work.check(committed, PREFIX, load.sent, load.refused) == work.Check(40, 0, 0)
        assert (load.sent, load.accepted, load.refused) == (40, 39, (5,))
        assert len(load.latencies_us) == 40

    def test_says_why_it_cannot_start(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match="cannot connect"):
            Generator.build(tmp_path).run(1, "/orders", 1, 1, PREFIX, 1.0)

    def test_line_of_results_is_read_whole(self) -> None:
        line = (
            '{"sent":2,"answered":2,"accepted":1,"started_at":5.5,"seconds":0.1,'
            '"cpu_seconds":0.01,"refused":[1],"latencies_us":[120,340]}'
        )
        assert parse(PREFIX, line).refused == (1,)


def test_the_figures_of_schedules_are_a_part_of_the_page() -> None:
    cases = [schedules.Case(1_000, 0, 0), schedules.Case(100_000, 5_000, 1, "ticks.alone")]
    found = [schedules.Row(case, case.due, 0.5, 1.25, 1.5, 1.75, 0.015, 0.02) for case in cases]
    document = {
        "taken_at": "2026-01-31 08:00",
        "load": 0.2,
        "versions": {"Millrace": "abc"},
        "rows": [dataclasses.asdict(row) for row in found],
    }
    section = schedules.section(json.loads(json.dumps(document)))
    assert "| 1,000 schedules, none due | | | | | 1.5% | 2.0% |" in section
    assert (
        "| 100,000 schedules, 5,000 due at once, a ticket each | 500 | 1,250 | 1,500 | 1.75 | 1.5% | 2.0% |" in section
    )
    assert "p99 1250 ms" in schedules.line(found[1])

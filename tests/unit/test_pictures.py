"""The pictures of dashboards: numbers as people read them, and every panel drawn, whatever was answered."""

from __future__ import annotations

import re
import xml.etree.ElementTree
from typing import Any

import pytest

from monitoring.grafana import boards
from monitoring.grafana.model import Board, Kind, Panel
from monitoring.pictures import graph, page, scale

TIME = graph.Time(begin=1_000_000.0, end=1_000_360.0, step=10.0, starts=(1_000_100.0,))


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.99953, "percentunit", "99.95%"),
        (0.0000042, "s", "4.2 µs"),
        (0.25, "s", "250 ms"),
        (90.0, "s", "90 s"),
        (600.0, "s", "10 min"),
        (1536.0, "bytes", "1.5 KiB"),
        (21_850.0, "short", "21.85 K"),
        (0.0065, "suffix: ev/s", "0.0065 ev/s"),
        (12.0, "reqps", "12 req/s"),
        (float("nan"), "s", "-"),
    ],
)
def test_a_value_is_written_with_its_unit(value: float, unit: str, said: str) -> None:
    assert scale.written(value, unit) == said


def test_the_lines_of_a_grid_have_round_values() -> None:
    assert scale.ticks(0.0, 80.0, "short") == [0, 20, 40, 60, 80]
    assert scale.ticks(0.0, 0.47, "s") == [0, 0.2, 0.4]
    assert scale.ticks(0.0, 0.08, "short") == [0, 0.02, 0.04, 0.06, 0.08]
    assert scale.ticks(0.0, 330.0, "s") == [0, 120, 240]
    assert [scale.written(at, "s") for at in scale.ticks(0.0, 37 * 3600.0, "s")] == ["0 s", "12 h", "24 h", "36 h"]
    assert scale.ticks(0.0, 100 * 1024.0**2, "bytes") == [n * 1024.0**2 for n in (0, 25, 50, 75, 100)]


def test_a_gap_stays_a_gap() -> None:
    points = tuple((TIME.begin + 10 * n, 5.0) for n in (*range(5), *range(20, 25)))
    drawn = graph.draw([graph.Line("a", points, "#fff")], TIME, "short", 400, 200)
    line = next(path for path in re.findall(r'<path d="([^"]+)" fill="none"', drawn))
    assert line.count("M") == 2
    assert drawn.count("Z") == 2, "an area in each part"


@pytest.mark.parametrize("board", boards.BOARDS, ids=lambda board: board.uid)
@pytest.mark.parametrize("answered", [True, False])
def test_every_panel_is_drawn(board: Board, answered: bool) -> None:
    answers = [[_answer(panel) if answered else [] for _ in panel.queries] for panel in board.panels]
    drawn = page.page(board, TIME, answers)
    for panel in board.panels:
        assert f"<h3>{panel.title}<i>" in drawn.html
    for svg in re.findall(r"<svg.*?</svg>", drawn.html, re.DOTALL):
        xml.etree.ElementTree.fromstring(svg)
    assert drawn.height > 500


def test_a_table_says_how_many_rows_have_no_room() -> None:
    [board] = [board for board in boards.BOARDS if board.uid == "millrace-overview"]
    alerts = [{"metric": {"alertname": f"alert-{n}"}, "value": [TIME.end, "1"]} for n in range(20)]
    answers = [[alerts if panel.title == "What fires" else [] for _ in panel.queries] for panel in board.panels]
    drawn = page.page(board, TIME, answers).html
    shown = drawn.count("<td>alert-")
    assert 5 <= shown < 20
    assert f"and {20 - shown} more" in drawn
    few = [[alerts[:shown] if given else [] for given in panel] for panel in answers]
    assert " more<" not in page.page(board, TIME, few).html


def _answer(panel: Panel) -> list[Any]:
    if panel.kind is Kind.TABLE:
        return [{"metric": {"type": "a<b"}, "value": [TIME.end, "3"]}]
    labels = [{"le": "0.5"}, {"le": "+Inf"}] if panel.kind is Kind.HEAT else [{"outcome": "done", "type": "a<b"}]
    values = [[TIME.begin + 10 * n, "NaN" if n == 7 else str(n % 2)] for n in range(37)]
    return [{"metric": label, "values": values} for label in labels]

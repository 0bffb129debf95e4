"""A dashboard as one page of HTML, in the places that Grafana gives its panels."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from monitoring.grafana.fill import named
from monitoring.grafana.model import Board, Kind, Panel, Query
from monitoring.grafana.write import COLUMNS, document
from monitoring.pictures import bands, graph, scale
from monitoring.pictures.graph import Line, Time

WIDTH = 1680  #: pixels
CELL, GAP, EDGE, HEAD = 38, 8, 16, 92
SERIES = 6  #: rows of a legend

STYLE = """
* { box-sizing: border-box; margin: 0 }
body { background: #111217; color: #d8d9da; font: 13px Inter, "DejaVu Sans", sans-serif; position: relative;
       font-variant-numeric: tabular-nums }
h1 { position: absolute; left: 18px; top: 14px; font-size: 21px; font-weight: 600 }
h1 small { font-size: 13px; font-weight: 400; color: #9fa7b3; margin-left: 12px }
.chips { position: absolute; left: 18px; top: 52px; display: flex; gap: 8px }
.chips span { border: 1px solid #2f343b; background: #181b1f; border-radius: 3px; padding: 4px 10px }
.chips b { color: #6e9fff; font-weight: 500; margin-right: 8px }
.range { position: absolute; right: 18px; top: 18px; color: #9fa7b3 }
h2 { position: absolute; font-size: 15px; font-weight: 600; color: #ccccdc }
h2::before { content: "▾"; margin-right: 8px; color: #9fa7b3 }
section { position: absolute; background: #181b1f; border: 1px solid #25282d; border-radius: 3px; overflow: hidden }
h3 { font-size: 13.5px; font-weight: 500; padding: 7px 10px 5px; color: #ccccdc }
h3 i { color: #6b7280; font-size: 11px; font-style: normal; margin-left: 6px; border: 1px solid #4b5058;
       border-radius: 50%; padding: 0 4.5px }
svg { display: block }
svg text { font-size: 11.5px; fill: #9fa7b3 }
svg .y { text-anchor: end } svg .x { text-anchor: middle } svg .in { fill: #fff } svg .none { text-anchor: middle }
.big { position: absolute; inset: 30px 0 0 0; display: grid; place-items: center; font-size: 44px; font-weight: 600;
       letter-spacing: -0.5px }
.spark { position: absolute; left: 0; right: 0; bottom: 0 }
table { width: 100%; border-collapse: collapse }
.legend { font-size: 11.5px; color: #9fa7b3 }
.legend td, .legend th { padding: 1.5px 10px; text-align: right; font-weight: 400 }
.legend td:first-child, .legend th:first-child { text-align: left; color: #d8d9da; max-width: 260px; overflow: hidden;
       white-space: nowrap; text-overflow: ellipsis }
.legend th { color: #6e9fff }
.legend u { display: inline-block; width: 13px; height: 4px; border-radius: 2px; margin-right: 7px;
       vertical-align: middle; text-decoration: none }
.rows th { text-align: left; font-weight: 500; color: #9fa7b3; padding: 7px 12px; border-bottom: 1px solid #2c3235 }
.rows td { padding: 6.5px 12px; border-bottom: 1px solid #22252b }
.rows .n { text-align: right }
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """A page, and how tall it is."""

    html: str
    height: int


def page(board: Board, time: Time, answers: Sequence[Sequence[Any]]) -> Drawn:
    """The page; ``answers``: of each panel in turn, of each of its questions, the series that Prometheus gave."""
    found = {panel.title: given for panel, given in zip(board.panels, answers, strict=True)}
    known = {panel.title: panel for panel in board.panels}
    parts, lowest = [], 0.0
    for placed in document(board, ())["panels"]:
        place = placed["gridPos"]
        wide = (WIDTH - 2 * EDGE + GAP) / COLUMNS
        x, y = EDGE + place["x"] * wide, HEAD + place["y"] * CELL
        width, height = round(place["w"] * wide - GAP), place["h"] * CELL - GAP
        lowest = max(lowest, y + height)
        if placed["type"] == "row":
            parts.append(f'<h2 style="left:{x + 4:.0f}px;top:{y + 5:.0f}px">{escape(placed["title"])}</h2>')
            continue
        panel = known[placed["title"]]
        body = BODIES[panel.kind](panel, found[panel.title], time, width, height - 32)
        parts.append(
            f'<section style="left:{x:.0f}px;top:{y:.0f}px;width:{width}px;height:{height}px">'
            f"<h3>{escape(panel.title)}<i>i</i></h3>{body}</section>"
        )
    height = round(lowest) + EDGE
    body = f"{_head(board, time)}{''.join(parts)}"
    return Drawn(
        f'<!doctype html><meta charset="utf-8"><title>{escape(board.title)}</title><style>{STYLE}'
        f"body{{width:{WIDTH}px;height:{height}px}}</style><body>{body}</body>",
        height,
    )


def _head(board: Board, time: Time) -> str:
    chips = "".join(f"<span><b>{escape(v.label)}</b>All</span>" for v in board.variables)
    begin, end = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (time.begin, time.end))
    span = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC"
    title = f"<h1>{escape(board.title)}<small>{escape(board.about)}</small></h1>"
    return f'{title}<div class="chips">{chips}</div><div class="range">{span}</div>'


def _lines(panel: Panel, answers: Sequence[Any]) -> list[Line]:
    found: list[Line] = []
    for query, series in zip(panel.queries, answers, strict=True):
        for one in series:
            name = named(query.legend or "{{le}}", one["metric"]) or panel.title
            points = tuple((float(at), float(value)) for at, value in one.get("values", [one.get("value")]))
            found.append(Line(name, points, ""))
    found = [line for line in found if line.values]
    if any("{{" in query.legend for query in panel.queries):
        found.sort(key=lambda line: line.name)
    return [dataclasses.replace(line, colour=graph.colour(line.name, place)) for place, line in enumerate(found)]


def _graph(panel: Panel, answers: Sequence[Any], time: Time, width: int, height: int) -> str:
    lines = _lines(panel, answers)
    shown = sorted(lines, key=lambda line: -max(line.values))[:SERIES] if len(lines) > SERIES else lines
    under = 18 * len(shown) + 22
    picture = graph.draw(
        lines, time, panel.unit, width, height - under,
        limits=panel.limits, stacked=panel.stacked, top=panel.top, empty=panel.quiet and f"empty when {panel.quiet}",
    )  # fmt: skip
    return picture + (_legend(shown, panel.unit) if shown else "")


def _legend(lines: Sequence[Line], unit: str) -> str:
    rows = "".join(
        f'<tr><td><u style="background:{line.colour}"></u>{escape(line.name)}</td>'
        f"<td>{scale.written(sum(line.values) / len(line.values), unit)}</td>"
        f"<td>{scale.written(max(line.values), unit)}</td><td>{scale.written(line.values[-1], unit)}</td></tr>"
        for line in lines
    )
    return f'<table class="legend"><tr><th></th><th>Mean</th><th>Max</th><th>Last</th></tr>{rows}</table>'


def _stat(panel: Panel, answers: Sequence[Any], time: Time, width: int, height: int) -> str:
    lines = _lines(panel, answers)
    value = lines[0].values[-1] if lines else math.nan
    colour = panel.ground if math.isfinite(value) else "#6b7280"
    for limit in panel.limits:
        colour = limit.colour if value >= limit.value else colour
    number = f'<div class="big" style="color:{colour}">{scale.written(value, panel.unit, panel.decimals)}</div>'
    if not lines or len(lines[0].points) < 2:
        return number
    high = max(lines[0].values) or 1.0
    place = [
        (width * n / (len(lines[0].points) - 1), 34 - 32 * (v / high if math.isfinite(v) else 0.0))
        for n, (_, v) in enumerate(lines[0].points)
    ]
    path = "".join(f"L{x:.1f},{y:.1f}" for x, y in place)
    return (
        f'{number}<div class="spark"><svg width="{width}" height="36"><path d="M0,36{path}L{width},36Z" fill="{colour}"'
        ' fill-opacity="0.18"/></svg></div>'
    )


def _table(panel: Panel, answers: Sequence[Any], time: Time, width: int, height: int) -> str:
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for query, series in zip(panel.queries, answers, strict=True):
        for one in series:
            labels = tuple(sorted(one["metric"].items()))
            rows.setdefault(labels, {})[query.legend] = float(one["value"][1])
    labels = sorted({name for row in rows for name, _ in row})
    heads = "".join(f"<th>{escape(n)}</th>" for n in labels)
    heads += "".join(f'<th class="n">{escape(q.legend)}</th>' for q in panel.queries)
    room = (height - 34) // 30
    first = panel.queries[0].legend
    ordered = sorted(rows.items(), key=lambda row: (-_known(row[1].get(first, math.nan)), row[0]))
    shown = ordered[: room if len(rows) <= room else room - 1]  # Grafana lets one scroll.
    body = ""
    for row, values in shown:
        cells = "".join(f"<td>{escape(dict(row).get(n, ''))}</td>" for n in labels)
        cells += "".join(f'<td class="n">{_cell(panel, q, values)}</td>' for q in panel.queries)
        body += f"<tr>{cells}</tr>"
    more = f'<tr><td colspan="9">and {len(rows) - len(shown)} more</td></tr>' if len(shown) < len(rows) else ""
    return f'<table class="rows"><tr>{heads}</tr>{body}{more}</table>'


def _known(value: float) -> float:
    """A value to sort by."""
    return value if math.isfinite(value) else -math.inf


def _cell(panel: Panel, query: Query, values: dict[str, float]) -> str:
    value = values.get(query.legend, math.nan)
    return scale.written(value, query.unit or panel.unit, panel.decimals)


def _heat(panel: Panel, answers: Sequence[Any], time: Time, width: int, height: int) -> str:
    return bands.heat(_lines(panel, answers), time, panel.unit, width, height)


def _states(panel: Panel, answers: Sequence[Any], time: Time, width: int, height: int) -> str:
    return bands.states(panel, _lines(panel, answers), time, width, height)


BODIES = {Kind.GRAPH: _graph, Kind.STAT: _stat, Kind.TABLE: _table, Kind.HEAT: _heat, Kind.STATES: _states}

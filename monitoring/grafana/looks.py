"""How a panel looks, in Grafana's words."""

from __future__ import annotations

from typing import Any

from monitoring.grafana.model import COLOURS, Kind, Panel
from service.telemetry import catalogue


def defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": panel.ground, "value": None}, *({"color": s.colour, "value": s.value} for s in panel.limits)]
    found: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    found["color"] = {"mode": "palette-classic" if panel.kind is Kind.GRAPH else "thresholds"}
    found["custom"] = _custom(panel)
    if panel.kind in (Kind.GRAPH, Kind.STAT):
        found["noValue"] = "-"
    if panel.kind is Kind.STAT:
        found["min"] = 0
    if panel.decimals is not None:
        found["decimals"] = panel.decimals
    if panel.words:
        options = {value: {"text": word, "color": colour} for value, word, colour in panel.words}
        found["mappings"] = [{"type": "value", "options": options}]
    return found


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind is Kind.GRAPH:
        return {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1 if panel.stacked else 2,
            "fillOpacity": 60 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.limits else "off"},
            # Soft: what lies beyond is drawn all the same. A certificate that has ended has less than 0 s left.
            "axisSoftMin": 0,
            **({"axisSoftMax": panel.top} if panel.top is not None else {}),
        }
    if panel.kind is Kind.STATES:
        return {"fillOpacity": 80, "lineWidth": 0}
    if panel.kind is Kind.TABLE:
        return {"align": "auto", "inspect": False, "cellOptions": {"type": "color-text" if panel.limits else "auto"}}
    return {}


def overrides(panel: Panel) -> list[dict[str, Any]]:
    """The colours that words have everywhere, and the units of a table's columns."""
    if panel.kind is Kind.GRAPH:
        return [
            {
                "matcher": {"id": "byName", "options": word},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
            }
            for word, colour in COLOURS.items()
            if word in words(panel)
        ]
    return [
        {"matcher": {"id": "byName", "options": q.legend}, "properties": [{"id": "unit", "value": q.unit}]}
        for q in panel.queries
        if q.unit and panel.kind is Kind.TABLE
    ]


def words(panel: Panel) -> set[str]:
    """What the series of a panel are called, as far as that is known before."""
    found = {query.legend for query in panel.queries}
    for label in {label for metric in catalogue.CATALOGUE for label in metric.labels}:
        if f"{{{{{label.name}}}}}" in found:
            found |= set(label.values)
    return found


def _graph(panel: Panel) -> dict[str, Any]:
    legend = {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max", "lastNotNull"]}
    return {"legend": {"showLegend": True, **legend}, "tooltip": {"mode": "multi", "sort": "desc"}}


def _stat(panel: Panel) -> dict[str, Any]:
    graph = "none" if any("$__range" in q.expr for q in panel.queries) else "area"
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {
        "reduceOptions": reduce,
        "graphMode": graph,
        "colorMode": "value",
        "textMode": "auto",
        "orientation": "auto",
        "justifyMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }


def _table(panel: Panel) -> dict[str, Any]:
    return {
        "showHeader": True,
        "frameIndex": 0,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False},
        "sortBy": [{"displayName": panel.queries[0].legend, "desc": True}],  # What is most is what is looked for.
    }


def _heat(panel: Panel) -> dict[str, Any]:
    return {
        "calculate": False,
        "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
        "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "exponent": 0.5, "fill": BLANK, "reverse": False},
        "cellGap": 1,
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
    }


def _states(panel: Panel) -> dict[str, Any]:
    legend = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
    return {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": legend,
        "tooltip": {"mode": "single", "sort": "none"},
    }


BLANK = "dark-orange"  #: what Grafana wants to be told of a colour that the scheme does not use
OPTIONS = {Kind.GRAPH: _graph, Kind.STAT: _stat, Kind.TABLE: _table, Kind.HEAT: _heat, Kind.STATES: _states}

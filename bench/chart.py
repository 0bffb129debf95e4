"""Draws the panels of :mod:`bench.bars`: ``python bench/chart.py PANELS.json CHART.png``.

It runs in the peers' virtual environment, where matplotlib is, and imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot

OURS, PEER = "#1f6f8b", "#b8b8b8"
#: Inches.
WIDTH, BAR, HEAD = 10.0, 0.28, 0.75


def draw(panels: list[dict[str, Any]], path: Path) -> None:
    """One picture with two panels beside each other, a row per section."""
    rows = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    heights = [HEAD + BAR * len(row[0]["names"]) for row in rows]
    figure, axes = pyplot.subplots(
        len(rows), 2, figsize=(WIDTH, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for row, pair in zip(rows, axes, strict=True):
        for panel, axis in zip(row, pair, strict=True):
            _panel(panel, axis)
    # Without dates and versions in it, the same figures give the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _panel(panel: dict[str, Any], axis: Any) -> None:
    colours = [PEER if peer else OURS for peer in panel["peers"]]
    bars = axis.barh(panel["names"], panel["values"], color=colours)
    axis.invert_yaxis()
    axis.bar_label(bars, labels=[_number(value, panel["unit"]) for value in panel["values"]], padding=3, fontsize=8)
    axis.set_title(panel["title"], fontsize=9, loc="left")
    axis.set_xlim(0, (max(panel["values"]) or 1) * 1.25)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def _number(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))

"""The files that are made from the boards."""

from __future__ import annotations

import pathlib

from monitoring.grafana import boards, page, write

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "monitoring/grafana/dashboards"


def all_of_them() -> dict[pathlib.Path, str]:
    """What each file holds today."""
    found = {FOLDER / f"{board.uid}.json": write.text(board, boards.BOARDS) for board in boards.BOARDS}
    return found | {ROOT / "docs/dashboards.md": page.page(boards.BOARDS)}

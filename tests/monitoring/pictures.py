"""Draw the pictures in ``docs/monitoring``: the dashboards, over what a real Prometheus saw of a real road.

    python -m tests.monitoring.pictures --minutes 8     lets the story happen, asks, and draws
    python -m tests.monitoring.pictures --again         draws what was asked last time

It takes Chromium to make images of pages. No Grafana is needed: the panels, their questions and limits are those that
Grafana is given.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from monitoring.grafana import boards, fill
from monitoring.grafana.model import Kind, Panel, Query
from monitoring.grafana.write import STARTS
from monitoring.pictures import page
from tests.monitoring.story import Story

ROOT = pathlib.Path(__file__).parents[2]
KEPT = ROOT / "var/pictures.json"
PLACE = ROOT / "docs/monitoring"
INTERVAL = "15s"  #: for $__rate_interval
COLUMN = 15.0  #: seconds, of a heat map: as long, so that each counts what no other does
POINTS = 240  #: on a graph


def tell(minutes: float) -> dict[str, Any]:
    """Let the story happen; what Prometheus answers to every question afterwards."""
    with tempfile.TemporaryDirectory(prefix="millrace-pictures-") as folder, Story(pathlib.Path(folder)) as story:
        story.road.wait_for_consumers(2)
        begin = time.time()
        with story.traffic():
            for at, what in _plot(story, minutes * 60):
                story.wait(max(0.0, begin + at - time.time()))
                what()
            story.wait(max(0.0, begin + minutes * 60 - time.time()))
        return _ask(story, begin, time.time())


def _plot(story: Story, seconds: float) -> list[tuple[float, Any]]:
    """What happens, and when. The first sixth is peace."""
    worker = story.workers[1]

    def restart() -> None:
        worker.wait_for_end(10)
        worker.restart()

    return [
        (seconds * 0.17, story.wrong),
        (seconds * 0.20, lambda: story.fail(8)),
        (seconds * 0.35, worker.kill),
        (seconds * 0.41, restart),
        (seconds * 0.55, story.broker.stop),
        (seconds * 0.60, story.broker.start),
        (seconds * 0.75, lambda: story.burst(400)),
        (seconds * 0.85, story.wrong),
    ]


def _ask(story: Story, begin: float, end: float) -> dict[str, Any]:
    span = f"{round(end - begin)}s"
    step = max(1.0, (end - begin) / POINTS)
    words = fill.found({v for board in boards.BOARDS for v in board.variables}, story.prometheus.now)

    def answer(panel: Panel, query: Query) -> list[Any]:
        expr = fill.fill(query, words, interval=INTERVAL, span=span)
        if panel.kind is Kind.TABLE or "$__range" in query.expr:
            return story.prometheus.now(expr)
        return story.prometheus.over(expr, begin, end, COLUMN if panel.kind is Kind.HEAT else step)

    starts = story.prometheus.over(fill.fill(Query(STARTS), words, interval=INTERVAL, span=span), begin, end, step)
    return {
        "begin": begin,
        "end": end,
        "step": step,
        "starts": sorted({float(value) / 1000 for series in starts for _, value in series["values"]}),
        "boards": {b.uid: [[answer(p, q) for q in p.queries] for p in b.panels] for b in boards.BOARDS},
    }


def draw(answers: dict[str, Any]) -> None:
    """The pictures."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("millrace: make pictures needs chromium, please install it")
    PLACE.mkdir(parents=True, exist_ok=True)
    for board in boards.BOARDS:
        when = page.Time(answers["begin"], answers["end"], answers["step"], tuple(answers["starts"]))
        drawn = page.page(board, when, answers["boards"][board.uid])
        with tempfile.TemporaryDirectory(prefix="millrace-page-") as folder:
            source = pathlib.Path(folder) / "page.html"
            source.write_text(drawn.html)
            picture = PLACE / f"{board.uid.removeprefix('millrace-')}.png"
            _shoot(program, source, picture, drawn.height)
        sys.stdout.write(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KiB\n")


def _shoot(program: str, source: pathlib.Path, picture: pathlib.Path, height: int) -> None:
    words = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb",
        f"--user-data-dir={source.parent}/profile", f"--window-size={page.WIDTH},{height}", f"--screenshot={picture}",
        source.as_uri(),
    ]  # fmt: skip
    found = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if found.returncode or not picture.exists():
        sys.exit(f"millrace: chromium made no picture: {found.stderr[-300:]}")


def main() -> None:
    """The command."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--minutes", type=float, default=8.0, help="how long the story takes")
    words.add_argument("--again", action="store_true", help="draw what was asked last time")
    given = words.parse_args()
    if not given.again:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(tell(given.minutes)))
    draw(json.loads(KEPT.read_text()))


if __name__ == "__main__":
    main()

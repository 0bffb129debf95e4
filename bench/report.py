"""The measured parts of the documentation, written from kept results.

A page keeps whatever people wrote around the two lines between which its measured part stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import aims, backlog, bars, due, kept, ledger, model, profiles, rows, schedules, soak
from bench import scale as scales
from bench.errors import BenchError
from bench.figures import Figures
from bench.results import Entrant, Measurement

BEGIN = "<!-- measured: `python -m bench report` writes everything from here -->"
SCHEDULES = "<!-- measured: `python -m bench schedules --keep` writes everything from here -->"
DUE = "<!-- measured: `python -m bench due --keep` writes everything from here -->"
LEDGER = "<!-- measured: `python -m bench ledger --keep` writes everything from here -->"
END = "<!-- measured: end -->"
CHART = "performance.png"

_HEAD = """\
Every contestant takes the same orders of {size} bytes and turns each into one committed row with a computed value. They
run one after another on the same private PostgreSQL (fsync on) and RabbitMQ; load generator, web, workers, broker and
database share the machine's cores. In each round ({rounds} here) all contestants take their turn, so that a change of
the machine's mood meets them alike. Orders are sent for some seconds after a warm-up; then whatever was accepted is
waited for. Figures are medians over the rounds; refused, lost and wrong are sums.
"""

_AIMS = """\
How many times better Millrace is than **p2t**, Flask and Celery hardened against loss and tuned for speed (and than the
best peer of the table): what is promised, what is aimed at, what was measured. **Bold**: the aim is reached.
"""

_READING = """\
### How to read it

- **accepted /s** counts orders answered with `202`, from the first request to the last answer. **committed /s** counts
  rows, from the first request to the last commit.
- Under the **steady flow** an answer's time counts from the instant at which the request was due, so that a slow server
  cannot slow its own examination down. **to commit** is the time from the answer, by the load generator, to the commit
  of the row, as PostgreSQL notes it right before it writes the commit to disk (`track_commit_timestamp`); both tell the
  time by the clock of the one machine. A row that was committed before its answer arrived counts as 0.
- **CPU** is what web, workers (with Millrace's clock), broker and PostgreSQL spent until half a second after the last
  row, per 1,000 orders. The load generator is not in it.
- **Peak memory** is the sum over the web and worker processes of each one's peak; pages that processes share count
  once for each of them.
- **Lost** orders were accepted and have no row. **Wrong** rows do not hold the value that the order's number gives.
  Every row is recomputed.
- Ratios above 1 say that Millrace is better than the peer: more per second, or less milliseconds, CPU
  or memory. They are given against p2t, which is what most of us run, and against the best peer of the table.

### What it does not say

- Nothing fails while it is measured: no crash, no restart, no network between the parts. RabbitMQ is one node.
- A `202` means a commit in the ledger for Millrace, and a confirm of the broker for p2t, p3 and p4. p1 waits for
  nothing. p1 and p3 keep their orders in classic queues, the others in quorum queues.
- The peers do less: they check no payload, keep no ledger, and cannot say what became of an order. Their rows are
  written once only because the insert skips a second one.
- RQ is not here: its Redis may lose a second of what it has accepted, and it is slower than p3 and p4 all the same.
"""


def performance(folder: Path = kept.FOLDER) -> str:
    """The measured part of ``docs/performance.md``."""
    full = kept.newest_of(profiles.FULL.name, folder)
    if full is None:
        return "No result has been kept yet: `make bench` writes one, and this page with it.\n"
    parts = [*_full(full)]
    for name, profile in profiles.ALL.items():
        found = None if profile in (profiles.FULL, profiles.QUICK, profiles.COST) else kept.newest_of(name, folder)
        if found:
            parts += _sweep(found)
    parts += _text(
        kept.newest_document("backlog", folder), "A backlog", lambda it: backlog.lines(backlog.from_document(it))
    )
    parts += _text(kept.newest_document("soak", folder), "A soak", lambda it: soak.lines(soak.from_document(it)))
    parts += ["## Contestants\n", *(_contestant(each) for each in full.contestants), *_origin(full)]
    return "\n".join(parts)


def scale(folder: Path = kept.FOLDER) -> str:
    """The measured part of ``docs/scale.md``."""
    found = scales.source(folder)
    parts = [] if found is None else [*scales.section(found, folder), *_origin(found)]
    cost = kept.newest_of(profiles.COST.name, folder)
    parts.append("## How cost grows\n")
    if cost is None:
        parts.append("No result has been kept yet: `make bench PROFILE=cost` writes one, and this page with it.\n")
        return "\n".join(parts)
    axes = [
        ("workers", "worker", "Workers of one process, 100 orders per request"),
        ("webs", "web", "Web processes, one order per request"),
    ]
    parts += [part for axis in axes for part in _axis(cost, *axis)]
    parts += [f"{_when(cost)}\n"] if found else list(_origin(cost))
    return "\n".join(parts)


#: The pages with a measured part, by their names under docs/.
PAGES: Mapping[str, Callable[[Path], str]] = {"performance.md": performance, "scale.md": scale}


def renewed(name: str, page: str, folder: Path = kept.FOLDER) -> str:
    """A page with its measured parts as the kept results have them.

    The tables with marks of their own stay as they stand until a result of their kind is kept.
    """
    page = between(page, BEGIN, PAGES[name](folder))
    for kind, begin, section in (
        ("schedules", SCHEDULES, schedules.section), ("due", DUE, due.section), ("ledger", LEDGER, ledger.section),
    ):  # fmt: skip
        found = kept.newest_document(kind, folder)
        if found and begin in page:
            page = between(page, begin, section(found).strip() + "\n")
    return page


def between(page: str, begin: str, measured: str) -> str:
    """The page with another text between that line and the next end."""
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise BenchError(f"the page wants one line {begin} and below it a line {END}")
    return pattern.sub(lambda _: f"{begin}\n\n{measured}\n{END}", page)


def _full(measurement: Measurement) -> Iterator[str]:
    yield _HEAD.format(size=measurement.sections[0].shape.size, rounds=measurement.rounds)
    # The terminal shows the tail of a failed contestant's log as well; the page needs its first line.
    yield from (f"> **Note.** {warning.splitlines()[0]}\n" for warning in rows.warnings(measurement))
    if aimed := list(aims.lines(measurement)):
        yield _AIMS
        yield _table(["at least", "aim", "measured"], aimed)
    yield f"![The figures below as bars]({CHART})\n"
    for section in measurement.sections:
        yield f"## {section.shape.title}\n"
        yield _table(rows.names(section), rows.figure_rows(section))
        for peer in rows.references(section):
            best = " (the best peer)" if peer is rows.best_peer(section) else ""
            ours = [number for number, result in enumerate(section.results) if not result.peer]
            lines = [rows.Row(row.label, [row.cells[k] for k in ours]) for row in rows.ratio_rows(section, peer)]
            yield f"Times better than {peer.name}{best}:\n"
            yield _table([section.results[k].name for k in ours], lines)
    yield f"The same in characters:\n\n```\n{bars.text(bars.panels(measurement)).rstrip()}\n```\n"
    yield _READING


_SWEPT: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("accepted /s", lambda figures: f"{figures.accepted_per_s:,.0f}"),
    ("committed /s", lambda figures: f"{figures.committed_per_s:,.0f}"),
    ("accept p99, ms", lambda figures: f"{figures.p99_ms:,.1f}"),
    ("CPU s / 1,000 events", lambda figures: f"{figures.cpu_total:.3f}"),
    ("lost and wrong rows", lambda figures: f"{figures.lost + figures.wrong:,}"),
)


def _sweep(measurement: Measurement) -> Iterator[str]:
    """One table: a block of rows per figure, a row per section, a column per contestant."""
    names = [each.name for each in measurement.contestants]
    lines = []
    for label, read in _SWEPT:
        lines.append(rows.Row(f"**{label}**", [""] * len(names)))
        for section in measurement.sections:
            found = {result.name: read(result.figures) for result in section.results}
            lines.append(rows.Row(section.shape.title, [found.get(name, "") for name in names], detail=True))
    yield f"## {measurement.title}\n"
    yield from (f"> **Note.** {warning.splitlines()[0]}\n" for warning in rows.warnings(measurement))
    yield _table(names, lines)
    yield f"{_when(measurement)}\n"


def _axis(cost: Measurement, prefix: str, group: str, title: str) -> Iterator[str]:
    cores = int(cost.machine["cores"])
    found = model.points(cost, prefix, group)
    if not found:
        return
    lines = []
    for number, point in enumerate(found):
        foreseen = model.predict(found[:number], point.number, cores) if number else None
        said = f"{foreseen.rate:,.0f} ({foreseen.rate / point.rate - 1:+.0%})" if foreseen else ""
        cells = [f"{point.rate:,.0f}", said, f"{point.demand * 1000:.3f}", f"{point.busy(cores):.0%}"]
        lines.append(rows.Row(str(point.number), cells))
    after = model.predict(found, 2 * found[-1].number, cores)
    lines.append(rows.Row(str(after.number), ["not measured", f"{after.rate:,.0f}", f"{after.demand * 1000:.3f}", ""]))
    yield f"### {title}\n"
    yield _table(["committed /s", "foreseen", "CPU s / 1,000 events", f"of {cores} cores"], lines)
    yield f"What holds the next doubling back: {after.limit}.\n"


def _text(
    document: dict[str, object] | None, title: str, lines: Callable[[dict[str, object]], Iterable[str]]
) -> list[str]:
    if document is None:
        return []
    text = "\n".join(lines(document))
    return [f"## {title}\n", f"```\n{text}\n```\n", f"Taken on {document['taken_at']} with `{document['command']}`.\n"]


def _table(names: Sequence[str], lines: Iterable[rows.Row]) -> str:
    head = f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}\n"
    return head + "".join(_line(row) for row in lines)


def _line(row: rows.Row) -> str:
    label = f"&emsp;{row.label}" if row.detail else row.label
    return f"| {label} | {' | '.join(row.cells)} |\n"


def _contestant(each: Entrant) -> str:
    commands = "\n".join(each.commands)
    packages = ", ".join(f"{name} {version}" for name, version in each.packages.items())
    return f"**{each.name}**: {each.title}.\n\n```\n{commands}\n```\n\n{packages}\n"


def _when(measurement: Measurement) -> str:
    return f"Taken on {measurement.taken_at} in {measurement.took / 60:.0f} minutes with `{measurement.command}`."


def _origin(measurement: Measurement) -> Iterator[str]:
    yield "## Machine and versions\n"
    yield f"{_when(measurement)}\n"
    facts = {**measurement.machine, **measurement.versions}
    yield "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in facts.items())

"""The page of the documentation, written from the JSON of a measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench import rows
from bench.figures import Measurement, Result

_HEAD = """\
# Performance

*This page is written by `python -m bench report FILE.json SCHEDULES.json`; it shows one measurement of each.
Repeat it with `make bench-quick`.*

Every contestant takes the same {events:,} orders over {connections} connections, one order per request, and
turns each into one committed row with a computed value. They run one after another on the same private
PostgreSQL and RabbitMQ, after a warm-up of {warm_up:,} orders; load generator, web, workers, broker and database
share the machine's cores. In each round ({rounds} here) all contestants take their turn, so that a change of the
machine's mood meets them alike. Figures are medians over the rounds; refused, lost and wrong are sums.
"""

_READING = """\
## How to read it

- **accepted /s** counts answers of `202`, from the first request to the last answer. **committed /s** counts rows,
  from the first request to the last row.
- **CPU** is what web, workers (with Millrace's clock), broker and PostgreSQL spent until half a second after the last
  row, per 1,000 orders. The load generator is not in it.
- **Peak memory** is the sum over the web and worker processes of each one's peak; pages that processes share count
  once for each of them.
- **Lost** orders were accepted and have no row. **Wrong** rows do not hold the value that the order's number gives.
  Every row is recomputed.
- Ratios are rounded to one place; above 1 the contestant is better than the peer: more per second, or less
  milliseconds, CPU or memory.

## What it does not say

- Nothing fails while it is measured: no crash, no restart, no network between the parts. RabbitMQ is one node.
- A `202` means a commit in the ledger for Millrace, and a confirm of the broker for the peers.
- The peers do less: they check no payload, keep no ledger, and cannot say what became of an order. Their rows are
  written once only because the insert skips a second one.
- One type, one kind of order of about 350 bytes, one machine. With many types bundles are smaller.
"""


def page(measurement: Measurement) -> str:
    """The whole page as Markdown."""
    parts = [
        _HEAD.format(
            events=measurement.events,
            connections=measurement.connections,
            warm_up=measurement.warm_up,
            rounds=measurement.rounds,
        ),
        _warnings(rows.warnings(measurement)),
        "## Figures\n",
        _table(_names(measurement), rows.figure_rows(measurement)),
        *_ratios(measurement),
        _READING,
        "## Contestants\n",
        *(_contestant(result) for result in measurement.results),
        "## Machine and versions\n",
        f"Measured on {measurement.taken_at} with `{measurement.command}`.\n",
        _facts({**measurement.machine, **measurement.versions}),
    ]
    return "\n".join(part for part in parts if part)


def _names(measurement: Measurement) -> list[str]:
    return [result.name for result in measurement.measured]


def _warnings(found: Sequence[str]) -> str:
    # The terminal shows the tail of a failed contestant's log as well; the page needs its first line.
    first_lines = [warning.splitlines()[0] for warning in found]
    return "\n".join(f"> **Note.** {line}\n" for line in first_lines)


def _ratios(measurement: Measurement) -> Iterable[str]:
    for peer in rows.peer_names(measurement):
        yield f"### Times better than {peer}\n"
        yield _table(_names(measurement), rows.ratio_rows(measurement, peer))


def _table(names: Sequence[str], lines: Iterable[rows.Row]) -> str:
    head = f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}\n"
    return head + "".join(_line(row) for row in lines)


def _line(row: rows.Row) -> str:
    label = f"&emsp;{row.label}" if row.detail else row.label
    return f"| {label} | {' | '.join(row.cells)} |\n"


def _contestant(result: Result) -> str:
    commands = "\n".join(result.commands)
    packages = ", ".join(f"{name} {version}" for name, version in result.packages.items())
    return f"**{result.name}**: {result.title}.\n\n```\n{commands}\n```\n\n{packages}\n"


def _facts(facts: Mapping[str, str]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in facts.items())

"""The verb of retention. It works on the ledger itself, as a clock does, and needs a clock's rights."""

from __future__ import annotations

import math

import click

from service import bootstrap
from service.domain import durations
from service.ledger.retention import Day, Report
from service.terminal import moment, print_json, print_line, progress, told
from service.verbs import common

#: Word of a day → what it means.
WORDS = {
    "removed": "goes",
    "thinned": "goes but for what is kept; its partition goes another time",
    "waits": "is in use by a long transaction, and goes another time",
    "whole": "stays: too much of it is open or a dead letter",
}


@click.command()
@common.DRY_RUN
@common.YES
@common.AS_JSON
@told
def retention(dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove whole days of events that are older than MILLRACE_RETENTION.

    Clocks do this by themselves each night. What is open, dead and not
    replayed, or has ended within the retention is kept: docs/retention.md.
    Needs MILLRACE_DATABASE_URL with the rights of a clock.

    \b
      millrace retention --dry-run
    """
    settings = bootstrap.prepare("retention").require("database_url")
    bootstrap.check(settings)
    if math.isinf(settings.retention):
        print_line("MILLRACE_RETENTION=forever: nothing is removed")
        return
    ledger = bootstrap.retention(settings, by=common.whoami())
    if dry_run:
        _tell(ledger.clear(dry_run=True), settings.retention, as_json)
        return
    common.confirmed(yes, f"Remove what has ended more than {durations.text(settings.retention)} ago?")
    if not ledger.take(now=True):
        raise click.ClickException("a clock is at it right now; `millrace doctor` says when it was done")
    with progress("days", None) as more:

        def tell(_day: Day) -> None:
            more(1)

        report = ledger.clear(tell=tell)
    ledger.done(report)
    _tell(report, settings.retention, as_json)


def _tell(report: Report, keep: float, as_json: bool) -> None:
    if as_json:
        print_json(report.document())
        return
    assert report.cutoff is not None
    print_line(f"Retention {durations.text(keep)}: what has ended before {moment(report.cutoff.isoformat())}")
    for day in report.days:
        print_line(f"{day.day}  {day.events} events, {day.kept} kept: {WORDS[day.word]}")
    if not report.days:
        print_line("No day is that old.")
    for table, rows in report.swept.items():
        if rows:
            print_line(f"{table}: {rows} rows beside them are gone")

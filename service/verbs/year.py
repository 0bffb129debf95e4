"""The verb that shows a year of a schedule."""

from __future__ import annotations

import itertools
from typing import Any

import click

from service.plans import preview as previews
from service.terminal import print_json, print_line, print_table, told
from service.verbs import common, names
from service.verbs.api import Api, path


@click.command()
@click.argument("name", shell_complete=names.of("schedules"))
@click.argument("number", metavar="YEAR", type=click.IntRange(previews.YEARS[0], previews.YEARS[-1]))
@common.AS_JSON
@told
@common.speaks
def year(api: Api, name: str, number: int, as_json: bool) -> None:
    """Show a year of a schedule: how often in each month, and clock changes.

    \b
      millrace schedules year nightly 2027
    """
    found = api.get(path("schedules", name, "year"), year=number)
    if as_json:
        print_json(found)
        return
    print_line(f"{found['plan']}: {found['total']} in {found['year']} ({found['tz']})")
    months = itertools.groupby(found["days"], key=lambda day: day["date"][:7])
    print_table(("month", "instants", "days", ""), [_month(month, list(days)) for month, days in months])


def _month(month: str, found: list[dict[str, Any]]) -> tuple[str, ...]:
    """A month as a row: instants, days that have some, and what clocks do in it."""
    changes = "\n".join(f"{day['date']}: {day['change']}" for day in found if day["change"])
    busy = sum(1 for day in found if day["count"])
    return month, str(sum(day["count"] for day in found)), str(busy), changes

"""The options that describe a schedule, and the document that they make."""

from __future__ import annotations

import json
from typing import Any

import click

from service.domain import policies
from service.verbs import common, names

PLAN = ("cron", "every", "at", "tz", "anchor", "missing", "doubled")


class Json(click.ParamType[Any]):
    """A JSON document."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The document; fails with what is wrong with it."""
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value[:60]}: JSON is wanted: {error}")


def options(function: Any) -> Any:
    """The options that describe a schedule."""
    found = (
        click.option("--type", "type", metavar="TYPE", shell_complete=names.of("types"), help="Of the events."),
        click.option("--payload", type=Json(), metavar="JSON", help="Of the events; {} by default."),
        click.option("--every", metavar="TIME", help="Every so often: 30s, 5m, 2h, 1d."),
        click.option("--cron", metavar="TEXT", help="A cron expression, like '0 3 * * *'."),
        click.option("--at", metavar="INSTANT", help="Once, like 2026-01-31T08:00Z."),
        click.option("--tz", metavar="ZONE", help="Of --cron and --at, like Europe/Berlin; UTC by default."),
        click.option("--anchor", metavar="INSTANT", help="An instant on the grid of --every."),
        click.option("--missing", type=click.Choice(["shift", "skip"]), help="A local time that is left out."),
        click.option("--doubled", type=click.Choice(["first", "last", "both"]), help="One that comes twice."),
        click.option(
            "--misfire", type=click.Choice([m.value for m in policies.Misfire]), help="What no clock fired in time."
        ),
        click.option("--misfire-window", metavar="TIME", help="How late an instant may be and be fired."),
        click.option(
            "--overlap", type=click.Choice([o.value for o in policies.Overlap]), help="While an event is open."
        ),
        click.option("--jitter", metavar="TIME", help="Fire each instant up to so much later."),
        click.option("--starts-at", metavar="INSTANT", help="No instant before it."),
        click.option("--ends-at", metavar="INSTANT", help="No instant after it."),
        click.option("--max-runs", type=int, metavar="N", help="So many, then it has finished."),
        click.option("--expires-after", metavar="TIME", help="When an event that nobody has worked expires."),
    )
    return common.with_options(found, function)


def document(given: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as members of a schedule's document."""
    said = {name: value for name, value in given.items() if value is not None}
    plan = {name: said.pop(name) for name in PLAN if name in said}
    return said | ({"plan": plan} if plan else {})

"""The verb of previews: what a schedule will do, or an expression that is no schedule yet."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import click

from service import bootstrap, plans, plugins
from service.domain import errors
from service.domain.schedules import NAME_PATTERN
from service.plans import preview as previews
from service.terminal import print_json, print_line, print_table, told
from service.verbs import common
from service.verbs.api import Api, Refused, path

FORMS = "a cron expression, an interval like 5m, an instant, or a schedule's name"


@click.command()
@click.argument("what", metavar="EXPRESSION|NAME")
@click.option("--tz", help="Time zone of an expression; of a NAME, the one to show.  [default: UTC, its own]")
@click.option("--missing", type=click.Choice(["shift", "skip"]), help="Local times that are left out.")
@click.option("--doubled", type=click.Choice(["first", "both", "last"]), help="Local times that come twice.")
@click.option("--next", "count", type=click.IntRange(1, previews.MOST), default=10, show_default=True, help="How many.")
@click.option("--after", type=common.Instant(), help="Begin after this instant.  [default: now]")
@common.AS_JSON
@told
@common.speaks
def preview(
    api: Api,
    what: str,
    tz: str | None,
    missing: str | None,
    doubled: str | None,
    count: int,
    after: datetime.datetime | None,
    as_json: bool,
) -> None:
    """Show the next instants, and what daylight saving does to them.

    EXPRESSION is a cron expression, an interval or an instant; NAME a schedule.

    \b
      millrace schedules preview "30 2 * * *" --tz Europe/Berlin
      millrace schedules preview nightly --next 30
    """
    policies = {k: v for k, v in {"missing": missing, "doubled": doubled}.items() if v is not None}
    plan = read(what, tz, policies, named=lambda name: _named(api, name))
    # Nothing is fired by this: the clock of this host is good enough to say where the list begins.
    begin = after or datetime.datetime.now(datetime.UTC)
    found = previews.coming(plan, begin, count, tz)
    if as_json:
        print_json({"plan": plan.spec(), "text": plan.describe(), "instants": [i.document() for i in found]})
        return
    print_line(plan.describe())
    if not found:
        print_line("nothing comes after that")
        return
    print_table(
        (f"local ({tz or plan.tz})", "UTC", ""),
        [(f"{i.local:%a %Y-%m-%d %H:%M:%S %z}", f"{i.utc:%Y-%m-%d %H:%M:%S}", _told(i)) for i in found],
    )


def read(
    what: str,
    tz: str | None = None,
    policies: dict[str, str] | None = None,
    *,
    named: Callable[[str], plans.Plan | None] | None = None,
) -> plans.Plan:
    """The plan that is meant. ``named`` finds a schedule's. Raises DeclarationError."""
    about = ({"tz": tz} if tz else {}) | (policies or {})
    if " " in what.strip() and not what.strip()[:4].isdigit():
        return plans.read({"cron": what, **about})
    if what[:4].isdigit() and "-" in what:
        return plans.read({"at": what, **about})
    if what[:1].isdigit():
        return plans.read({"every": what, **(policies or {})})
    found = named(what) if named is not None and NAME_PATTERN.fullmatch(what) else None
    if found is None:
        raise errors.DeclarationError(f"there is no schedule {what!r}, and it is not {FORMS}")
    if policies:
        raise errors.DeclarationError(f"{', '.join(policies)}: the schedule {what} has policies of its own")
    return found


def _named(api: Api, name: str) -> plans.Plan | None:
    """The plan of a schedule: in the apps of this host, else as the API shows it, if there is one to be asked."""
    if not api.settings.url:
        bootstrap.prepare("operator", api.settings)
        found = plugins.calendar.get(name)
        if found is not None and isinstance(found.plan, plans.Plan):
            return found.plan
        if not api.settings.database_url:
            return None
    try:
        return plans.read(api.get(path("schedules", name))["plan"])
    except Refused:
        return None


def _told(found: previews.Instant) -> str:
    return "; ".join(part for part in (found.change, found.why) if part)

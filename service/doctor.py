"""`millrace doctor` looks at servers, schema and balance, and says what helps; `millrace rebuild` is one cure."""

from __future__ import annotations

import dataclasses
import datetime
import math

from service import bootstrap, plugins, safety
from service.domain import durations, errors, keeping
from service.ledger import balance, kept
from service.ledger import engine as engines
from service.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `millrace doctor` looked at."""

    name: str
    ok: bool
    detail: str  #: what was found and, of a fault, the cure

    def document(self) -> dict[str, object]:
        """As JSON."""
        return dataclasses.asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Look at what must not be off by accident, at servers, schema and balance."""
    checks = safety.checks(settings, "doctor")
    findings = [Finding(check.name, not check.fault, check.fault or check.well) for check in checks]
    try:
        bootstrap.check(settings)
        findings.append(Finding("ledger", True, "PostgreSQL answers, and the schema is this version's"))
        findings += _balance(settings)
    except errors.MillraceError as error:
        findings.append(Finding("ledger", False, bootstrap.explain(error)))
    try:
        connection = bootstrap.broker(settings.require("broker_url"), "millrace-doctor")
        waiting = {q: connection.ready(q) for q in sorted({"events", "periodic"} | plugins.registry.queues())}
        connection.drop()
        findings.append(Finding("broker", True, ", ".join(f"{q}: {n} ready" for q, n in waiting.items())))
    except errors.MillraceError as error:
        findings.append(
            Finding("broker", False, f"{bootstrap.explain(error)}; `millrace topology apply` declares missing queues")
        )
    findings.append(_access(settings))
    return findings


def _access(settings: Settings) -> Finding:
    """Who is let in."""
    try:
        settings.require_access()
    except errors.SettingsError as error:
        return Finding("access", False, str(error))
    if settings.access == "off":
        return Finding("access", True, f"off: whoever reaches {settings.http} is an admin (docs/access.md)")
    try:
        here = bootstrap.operations(settings)
        keys = here.key_ledger.list()
        soon = [k["name"] for k in keys if k["soon"]]
        users = len(here.users.list())
    except errors.MillraceError as error:
        return Finding("access", False, f"on, but nobody is let in: {bootstrap.explain(error)}")
    issuer = f", tokens of {settings.oidc_issuer}" if settings.oidc_issuer else ""
    said = f"on: {len(keys)} live keys, {users} users{issuer}"
    if soon:
        said += f"; keys expire within a week: {', '.join(soon)} (`millrace keys rotate`)"
    if not keys and not users and not issuer:
        return Finding("access", False, f"{said}: nobody can do anything (`millrace keys create NAME --role admin`)")
    return Finding("access", True, said)


def _balance(settings: Settings) -> list[Finding]:
    engine = engines.Engine(settings.database_url, role="millrace-doctor")
    found = balance.count(engine)
    past = kept.look(engine, settings.retention)
    engine.dispose()
    return [
        Finding(
            "tickets",
            found.without_ticket == 0,
            f"{found.open} open events, {found.without_ticket} of them without a ticket" + _lost(found),
        ),
        Finding(
            "tallies",
            not found.differing,
            f"{found.tallied} open events by the tallies, {found.open} in the table" + _differing(found),
        ),
        Finding(
            "partitions",
            found.unpartitioned == 0,
            f"{found.unpartitioned} events in the default partition that have no day (a clock makes partitions; is one"
            f" running?), {found.kept} that were kept of days that are gone",
        ),
        _retention(past, settings.retention),
    ]


def _retention(past: keeping.Kept, keep: float) -> Finding:
    """Whether what is over goes."""
    if math.isinf(keep):
        return Finding("retention", True, f"all is kept for ever; the oldest day is {past.oldest}")
    last = "never done" if past.last is None else f"last done {past.last.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    said = f"{durations.text(keep)}, {last}; the oldest day is {past.oldest}"
    if not past.keeps_up:
        said += f"; {past.overdue} days should have gone (`millrace retention --dry-run`, docs/retention.md)"
    return Finding("retention", past.keeps_up, said)


def _lost(found: balance.Balance) -> str:
    """The first events that nobody would look at again, and what to do."""
    if not found.without_ticket:
        return ""
    more = ", …" if found.without_ticket > len(found.lost) else ""
    return f": {', '.join(found.lost)}{more} (docs/operations.md, “An event has no ticket”)"


def _differing(found: balance.Balance) -> str:
    """The types that differ, and what to do."""
    if not found.differing:
        return ""
    types = ", ".join(f"{d.type} {d.tallied} against {d.open}" for d in found.differing)
    return f": {types} (docs/operations.md, “Tallies and table differ”)"


def rebuild(settings: Settings) -> int:
    """Make every ticket due now."""
    bootstrap.check(settings)
    return balance.rebuild(engines.Engine(settings.database_url, role="millrace-rebuild"))

"""`millrace check-deploy`: whether the code at hand can work all that stands in the ledger, before it is rolled out."""

from __future__ import annotations

import dataclasses

from service import bootstrap, plugins
from service.domain import errors, handlers
from service.ledger import engine as engines
from service.ledger import standing
from service.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of the events of one type in one place."""

    place: str  #: waiting, published, dead, scheduled
    type: str
    count: int  #: events; schedules, of what is scheduled
    more: bool  #: there are more than were counted
    known: bool  #: the code has a handler for the type
    tried: int  #: payloads that were checked with the handler's model
    unfit: tuple[str, ...]  #: the events (or schedules) whose payloads do not fit
    fault: str  #: of the first of them, what is wrong

    @property
    def ok(self) -> bool:
        """Whether the code can work them, as far as was looked."""
        return self.known and not self.unfit

    def document(self) -> dict[str, object]:
        """As JSON."""
        return dataclasses.asdict(self) | {"ok": self.ok}

    def line(self) -> str:
        """For people, with the cure."""
        many = f"{self.count}{' or more' if self.more else ''}"
        if not self.known:
            cure = "declare a handler, or name its package in MILLRACE_APPS; until then they are kept and tried again"
            return f"{self.place} {self.type}: {many}, and no handler is declared: {cure}"
        if self.unfit:
            return (
                f"{self.place} {self.type}: {many}, and {len(self.unfit)} of {self.tried} payloads that were tried do"
                f" not fit ({self.unfit[0]}: {self.fault}): have the model take the old form, too"
            )
        return f"{self.place} {self.type}: {many}, {self.tried} payloads were tried"


def check(settings: Settings, *, sample: int) -> list[Verdict]:
    """A verdict for each type and place. Raises LedgerUnavailable, SchemaNotReady, SettingsError."""
    bootstrap.check(settings)
    engine = engines.Engine(settings.database_url, role="millrace-check")
    try:
        return [judge(one, plugins.registry) for one in standing.StandingLedger(engine).look(sample)]
    finally:
        engine.dispose()


def judge(found: standing.Standing, registry: handlers.Registry) -> Verdict:
    """The verdict on one type in one place."""
    parse = registry.get(found.type).parse if found.type in registry else None
    faults: dict[str, str] = {}
    for name, payload in found.samples:
        if parse is None:
            break  # Any payload fits.
        try:
            parse(payload)
        except errors.InvalidEvent as error:
            faults[name] = "; ".join(f"{f.pointer or '/'} {f.detail}" for f in error.faults) or str(error)
    return Verdict(
        found.place,
        found.type,
        found.count,
        found.more,
        found.type in registry,
        len(found.samples) if found.type in registry else 0,
        tuple(faults),
        next(iter(faults.values()), ""),
    )

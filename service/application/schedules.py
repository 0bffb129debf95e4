"""Schedules at run time: made, changed, paused, run and filled by people, without a deploy.

As a document a schedule is a JSON object: ``name``, ``type``, ``plan``, ``payload`` and the policies, side by side.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service import plans
from service.domain import errors, handlers, policies
from service.domain import schedules as domain
from service.plans import preview as previews

log = logging.getLogger("millrace.control")

MEMBERS = ("name", "type", "plan", "payload", *policies.READERS)  #: of a document
MOST_BACKFILLED = 10_000  #: instants in one backfill


class ScheduleQueries(Protocol):
    """The schedules of the ledger, to be looked at."""

    def find(self, name: str) -> dict[str, Any]: ...
    def now(self) -> datetime.datetime: ...


class ScheduleLedger(Protocol):
    """The schedules of the ledger, to be changed."""

    def create(self, schedule: domain.Schedule, *, by: str | None) -> None: ...
    def edit(
        self,
        name: str,
        change: Callable[[dict[str, Any]], domain.Schedule],
        *,
        revision: int | None,
        by: str | None,
    ) -> int: ...
    def pause(self, name: str, *, by: str | None) -> None: ...
    def resume(self, name: str, *, by: str | None) -> bool: ...
    def delete(self, name: str, *, revision: int | None, by: str | None) -> None: ...
    def run_now(self, name: str, *, by: str | None) -> str: ...
    def backfill(
        self,
        name: str,
        since: datetime.datetime,
        until: datetime.datetime,
        *,
        limit: int,
        dry_run: bool,
        by: str | None,
    ) -> Any: ...


class Schedules:
    """What people do with schedules. Each act is a line in the log, with who did it."""

    def __init__(self, registry: handlers.Registry, ledger: ScheduleLedger, queries: ScheduleQueries) -> None:
        self._registry = registry
        self._ledger = ledger
        self._queries = queries

    def create(self, document: object, *, by: str | None) -> str:
        """A new schedule; its name. Raises InvalidSchedule, ScheduleExists."""
        schedule = read(document, self._registry)
        self._ledger.create(schedule, by=by)
        self._tell("created", schedule.name, by)
        return schedule.name

    def edit(self, name: str, changes: object, *, revision: int | None, by: str | None) -> int:
        """Change what ``changes`` names (RFC 7396: a null takes a member away); the plan is replaced as a whole.

        Returns the new revision.

        ``revision``: of the schedule that the changes were made for; None: whatever it is by now. Raises
        InvalidSchedule, ScheduleNotFound, ScheduleChanged, DeclaredInCode.
        """
        if not isinstance(changes, dict):
            raise errors.InvalidSchedule([errors.Fault("", "an object with the members to be changed is wanted")])
        if changes.get("name", name) != name:
            raise errors.InvalidSchedule([errors.Fault("/name", "a schedule keeps its name: make another one")])

        def change(spec: dict[str, Any]) -> domain.Schedule:
            here = {"name": name, "type": spec["type"], "plan": spec["plan"], "payload": spec["payload"]}
            here |= spec.get("policy", {})
            here |= changes
            return read({k: v for k, v in here.items() if v is not None}, self._registry)

        written = self._ledger.edit(name, change, revision=revision, by=by)
        self._tell("changed", name, by)
        return written

    def pause(self, name: str, *, by: str | None) -> None:
        """Have no instant of it fired. Raises ScheduleNotFound, ScheduleRetired."""
        self._ledger.pause(name, by=by)
        self._tell("paused", name, by)

    def resume(self, name: str, *, by: str | None) -> bool:
        """Have it go on with its next instant; whether it was paused. Raises ScheduleNotFound, ScheduleRetired."""
        was_paused = self._ledger.resume(name, by=by)
        self._tell("resumed", name, by)
        return was_paused

    def delete(self, name: str, *, revision: int | None, by: str | None) -> None:
        """Delete it; its slots and events stay. Raises ScheduleNotFound, ScheduleChanged, DeclaredInCode."""
        self._ledger.delete(name, revision=revision, by=by)
        self._tell("deleted", name, by)

    def run_now(self, name: str, *, by: str | None) -> str:
        """An event of it at once; its id. Raises ScheduleNotFound, ScheduleRetired."""
        event_id = self._ledger.run_now(name, by=by)
        self._tell("run at once", name, by)
        return event_id

    def backfill(
        self,
        name: str,
        since: datetime.datetime,
        until: datetime.datetime,
        *,
        limit: int,
        dry_run: bool,
        by: str | None,
    ) -> Any:
        """Make events of the instants in ``[since, until)`` that became none. Raises ScheduleNotFound, ScheduleRetired,
        InvalidSchedule.
        """
        if until <= since:
            raise errors.InvalidSchedule([errors.Fault("/until", "it must lie after since")])
        found = self._ledger.backfill(name, since, until, limit=limit, dry_run=dry_run, by=by)
        if not dry_run:
            self._tell("filled", name, by)
        return found

    def preview(
        self, name: str, *, count: int, after: datetime.datetime | None = None, tz: str | None = None
    ) -> dict[str, Any]:
        """The next instants of a schedule, within its start and end. Raises ScheduleNotFound, InvalidSchedule."""
        row = self._queries.find(name)
        plan, policy = _plan(row["plan"]), policies.read(row["policy"] or {})
        return self._preview(plan, policy, count=count, after=after, tz=tz)

    def preview_plan(
        self, document: object, *, count: int, after: datetime.datetime | None = None, tz: str | None = None
    ) -> dict[str, Any]:
        """The next instants of a plan that is no schedule yet. Raises InvalidSchedule."""
        return self._preview(_plan(document), policies.Policy(), count=count, after=after, tz=tz)

    def year(self, name: str, number: int) -> dict[str, Any]:
        """A year of a schedule by its days, within its start and end. Raises ScheduleNotFound, InvalidSchedule."""
        try:
            return year(self._queries.find(name), number).document()
        except errors.DeclarationError as error:
            raise errors.InvalidSchedule([errors.Fault(f"/{error.field}", str(error))]) from None

    def _preview(
        self,
        plan: plans.Plan,
        policy: policies.Policy,
        *,
        count: int,
        after: datetime.datetime | None = None,
        tz: str | None = None,
    ) -> dict[str, Any]:
        begin = after or self._queries.now()
        if policy.starts_at is not None:
            begin = max(begin, policy.starts_at - policy.starts_at.resolution)
        try:
            found = previews.coming(plan, begin, count, tz)
        except errors.DeclarationError as error:
            raise errors.InvalidSchedule([errors.Fault(f"/{error.field}", str(error))]) from None
        shown = [i.document() for i in found if policy.ends_at is None or i.utc <= policy.ends_at]
        return {"plan": plan.spec(), "text": plan.describe(), "instants": shown}

    def _tell(self, what: str, name: str, by: str | None) -> None:
        action = f"schedules.{what.split(maxsplit=1)[0]}"
        log.info("The schedule %s was %s", name, what, extra={"action": action, "by": by})


def read(document: object, registry: handlers.Registry) -> domain.Schedule:
    """The schedule in a document; raises InvalidSchedule that names each member with something wrong."""
    if not isinstance(document, dict):
        raise errors.InvalidSchedule([errors.Fault("", "an object with name, type and plan is wanted")])
    faults = [
        errors.Fault(f"/{str(name)[:100]}", f"there is no such member; there are {', '.join(MEMBERS)}")
        for name in document
        if name not in MEMBERS
    ]
    faults += [errors.Fault(f"/{n}", "it is required") for n in ("name", "type", "plan") if document.get(n) is None]
    name, type_name, payload = document.get("name"), document.get("type"), document.get("payload", {})
    if name is not None:
        faults += _declared(lambda: domain.check_name(str(name)), "")
    if type_name is not None:
        faults += _type(type_name, payload, registry)
    plan, policy = None, policies.Policy()
    try:
        plan = None if document.get("plan") is None else _plan(document["plan"])
    except errors.InvalidSchedule as error:
        faults += error.faults
    try:
        policy = policies.read({n: v for n, v in document.items() if n in policies.READERS})
    except errors.InvalidSchedule as error:
        faults += error.faults
    if faults or plan is None:
        raise errors.InvalidSchedule(faults)
    found = domain.Schedule(str(name), str(type_name), plan, payload, policy)
    if faults := _declared(lambda: domain.check_payload(found), "/payload"):
        raise errors.InvalidSchedule(faults)
    return found


def year(row: Mapping[str, Any], number: int) -> previews.Year:
    """A year of a schedule of the ledger. Raises DeclarationError for another one, InvalidSchedule."""
    policy = policies.read(row["policy"] or {})
    return previews.year(_plan(row["plan"]), number, policy.starts_at, policy.ends_at)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A schedule of the ledger as a document: its policies, the default ones too, stand beside the rest."""
    try:
        policy = policies.read(row["policy"] or {})
        named = {name: getattr(policy, name) for name in policies.READERS} | {"misfire_window": policy.window}
    except errors.InvalidSchedule:
        named = row["policy"]  # Of a newer version of the code.
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name == "policy":
            found |= named
        else:
            found[name] = value
    return found


def _plan(document: object) -> plans.Plan:
    """A plan; raises InvalidSchedule."""
    try:
        return plans.read(document)
    except errors.DeclarationError as error:
        pointer = f"/plan/{error.field}" if error.field else "/plan"
        raise errors.InvalidSchedule([errors.Fault(pointer, str(error))]) from None


def _type(type_name: object, payload: object, registry: handlers.Registry) -> list[errors.Fault]:
    if not isinstance(type_name, str) or type_name not in registry:
        return [errors.Fault("/type", f"no handler is declared for the event type {str(type_name)[:100]!r}")]
    parse = registry.get(type_name).parse
    try:
        if parse is not None:
            parse(payload)
    except errors.InvalidEvent as error:
        return [errors.Fault(f"/payload{fault.pointer}", fault.detail) for fault in error.faults]
    return []


def _declared(check: Callable[[], None], pointer: str) -> list[errors.Fault]:
    """The fault that a check of declarations finds."""
    try:
        check()
    except errors.DeclarationError as error:
        return [errors.Fault(pointer or f"/{error.field}", str(error))]
    return []

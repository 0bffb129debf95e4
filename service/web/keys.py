"""The API of access: keys, and the log of who did what."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import flask
import msgspec

from service.domain import errors
from service.domain.access import Permission
from service.ledger import audit as ledger
from service.web import access, answer, body, gate, guard, operations, paths, road, search, veil

pages = flask.Blueprint("access", __name__, url_prefix="/v1")

DAY = 86_400.0  #: seconds: for how long an old key is good beside the new one, if nothing is said
MEMBERS = ("name", "role", "types", "lasts")

Name = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]{1,200}$")]


class Keys(msgspec.Struct, frozen=True):
    """Which keys to list."""

    all: bool = False

    EXPECTED = {"all": "true or false is wanted"}


class Rotate(search.Why, frozen=True):
    """How to change a key."""

    overlap: Annotated[float, msgspec.Meta(ge=0, le=366 * DAY)] = DAY

    EXPECTED: ClassVar[dict[str, str]] = {"overlap": "a number of seconds is wanted, 0 to a year"}


class Verify(msgspec.Struct, frozen=True):
    """What else must be in the chain."""

    end: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None

    EXPECTED = {"end": "a hash that was the chain's end once is wanted, of 64 hexadecimal digits"}


class Audit(msgspec.Struct, frozen=True):
    """A page of the log: entries to which all of this applies."""

    actor: Name | None = None
    act: Name | None = None
    target: Name | None = None
    since: search.Moment | None = None
    until: search.Moment | None = None
    cursor: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50

    EXPECTED = {
        "actor": "who acted is wanted",
        "act": "an act is wanted, or its beginning, like schedule",
        "target": "an event's id, a type, a schedule, … is wanted",
    }

    def filters(self) -> ledger.Filters:
        """In the ledger's words."""
        target = None if self.target is None else paths.as_written(self.target)
        return ledger.Filters(self.actor, self.act, target, self.since, self.until, self.cursor)


@pages.get("/keys")
@access.needs(Permission.ACCESS)
def list_keys() -> answer.Json:
    """API keys, without what opens anything; with ``all`` those too that are revoked or have expired."""
    wanted = search.read(flask.request.args, Keys)
    with gate.reads():
        return answer.Json({"keys": road.current().operations.key_ledger.list(all=wanted.all)})


@pages.post("/keys")
@access.needs(Permission.ACCESS)
def create_key() -> answer.Json:
    """Make a key of what the body says. The answer holds the key, and is the only one that ever does."""
    operations.asked(search.Why)
    document = body.read(flask.request, road.current().settings.max_depth).value
    if not isinstance(document, dict):
        raise errors.InvalidAccess([errors.Fault("", "an object with name and role is wanted")])
    faults = [
        errors.Fault(body.pointer(n), f"there is no such member; there are {', '.join(MEMBERS)}")
        for n in document.keys() - set(MEMBERS)
    ]
    types, lasts = document.get("types", []), document.get("lasts")
    faults += [errors.Fault(f"/{n}", "a text is wanted") for n in MEMBERS[:2] if not isinstance(document.get(n), str)]
    if not isinstance(types, list) or not all(isinstance(one, str) for one in types):
        faults.append(errors.Fault("/types", 'an array of event types is wanted, like ["orders.*"]'))
    if lasts is not None and type(lasts) not in (int, float):
        faults.append(errors.Fault("/lasts", "a number of seconds is wanted"))
    if faults:
        raise errors.InvalidAccess(faults)
    keys = road.current().operations.keys
    made = keys.create(name=document["name"], role=document["role"], types=types, lasts=lasts, by=operations.by())
    guard.current().forget_keys()
    return answer.Json(made, status=201)


@pages.post("/keys/<key_id>/rotate")
@access.needs(Permission.ACCESS)
def rotate_key(key_id: str) -> answer.Json:
    """Make a new key in the place of one that goes on being good for ``overlap`` seconds, a day by default."""
    wanted = operations.asked(Rotate)
    keys = road.current().operations.keys
    made = keys.rotate(key_id, overlap=wanted.overlap, by=operations.by())
    guard.current().forget_keys()
    return answer.Json(made, status=201)


@pages.delete("/keys/<key_id>")
@access.needs(Permission.ACCESS)
def revoke_key(key_id: str) -> answer.Json:
    """End a key: within ten seconds it opens nothing anywhere."""
    operations.asked(search.Why)
    revoked = road.current().operations.keys.revoke(key_id, by=operations.by())
    guard.current().forget_keys()
    return answer.Json(revoked)


@pages.get("/audit")
@access.needs(Permission.AUDIT)
def list_audit() -> answer.Json:
    """Who did what, the newest first, page by page."""
    wanted = search.read(flask.request.args, Audit)
    with gate.reads():
        found = road.current().operations.audit.list(wanted.filters(), limit=wanted.limit + 1)
    page = found[: wanted.limit]
    shown: list[dict[str, Any]] = [row | {"detail": veil.masked_detail(row["detail"])} for row in page]
    return answer.Json({"audit": shown, "next_cursor": page[-1]["n"] if len(found) > wanted.limit else None})


@pages.get("/audit/verify")
@access.needs(Permission.AUDIT)
def verify_audit() -> answer.Json:
    """Check the chain of the whole log: which rows were changed, removed or put in."""
    wanted = search.read(flask.request.args, Verify)
    here = road.current().operations.audit
    with gate.reads():
        found = here.verify()
        lost = wanted.end is not None and not here.holds(wanted.end)
    breaks = [{"n": one.n, "what": one.what} for one in found.breaks]
    holds = not (breaks or lost)
    document = {"holds": holds, "rows": found.rows, "end": found.end, "breaks": breaks, "more_breaks": found.more}
    return answer.Json(document | {"end_lost": lost})

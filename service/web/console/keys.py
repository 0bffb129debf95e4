"""API keys: made, rotated, revoked. A key is shown once, in the answer that makes it."""

from __future__ import annotations

from typing import Any

import flask

from service.domain import errors
from service.domain.access import Permission, Role
from service.web import access, gate, guard, operations, road
from service.web.console import forms, page

DAY = 86_400.0  #: seconds
LASTS = (("", "for ever"), ("2592000", "30 days"), ("7776000", "90 days"), ("31536000", "a year"))


@page.pages.get("/keys")
@access.needs(Permission.ACCESS)
def keys() -> flask.Response:
    """The keys, and the form for another one."""
    return _show()


@page.pages.post("/keys")
@forms.acts
@access.needs(Permission.ACCESS)
def create_key() -> flask.Response:
    """Make one. This answer holds it, and is the only one that ever does."""
    given = {name: forms.text(name) or "" for name in ("name", "role", "types", "lasts")}
    types = given["types"].replace(",", " ").split()
    if given["lasts"] not in dict(LASTS):
        return _show(given=given, faults=[errors.Fault("/lasts", "one of those that are offered is wanted")])
    lasts = float(given["lasts"]) if given["lasts"] else None
    try:
        made = road.current().operations.keys.create(
            name=given["name"], role=given["role"], types=types, lasts=lasts, by=operations.by()
        )
    except (errors.InvalidAccess, errors.TwoKeysLive, errors.SettingsError) as error:
        return _show(given=given, faults=getattr(error, "faults", None) or [errors.Fault("", str(error))])
    guard.current().forget_keys()
    return _show(made=made)


@page.pages.post("/keys/<key_id>/rotate")
@forms.acts
@access.needs(Permission.ACCESS)
def rotate_key(key_id: str) -> flask.Response:
    """Make a new one in its place; it goes on being good for a day."""
    try:
        made = road.current().operations.keys.rotate(key_id, overlap=DAY, by=operations.by())
    except errors.TwoKeysLive as error:
        return _show(faults=[errors.Fault("", str(error))])
    guard.current().forget_keys()
    return _show(made=made)


@page.pages.get("/keys/<key_id>/revoke")
@access.needs(Permission.ACCESS)
def ask_revoke_key(key_id: str) -> flask.Response:
    """The form to end one."""
    return page.dialog("revoke_key.html", one=_find(key_id))


@page.pages.post("/keys/<key_id>/revoke")
@forms.acts
@access.needs(Permission.ACCESS)
def revoke_key(key_id: str) -> flask.Response:
    """End it, if its name was typed: within ten seconds it opens nothing anywhere."""
    forms.check_typed(_find(key_id)["name"])
    found = road.current().operations.keys.revoke(key_id, by=operations.by())
    guard.current().forget_keys()
    return forms.done(f"The key of {found['name']} is revoked, everywhere within ten seconds", "/console/keys")


def _find(key_id: str) -> dict[str, Any]:
    with gate.reads():
        rows = road.current().operations.key_ledger.list(all=True)
    found = next((one for one in rows if one["id"] == key_id), None)
    if found is None:
        raise errors.KeyNotFound()
    return found


def _show(*, made: Any = None, given: dict[str, str] | None = None, faults: Any = ()) -> flask.Response:
    is_all = flask.request.args.get("all") == "1"
    with gate.reads():
        found = road.current().operations.key_ledger.list(all=is_all)
    return page.render(
        "keys.html",
        422 if faults else 200,
        rows=found,
        is_all=is_all,
        made=made,
        given=given or {},
        faults=list(faults),
        roles=[(role.value, role.value) for role in Role],
        lasts=LASTS,
    )

"""Local users: added, given another role or password, disabled, removed; and who is signed in, by whichever way."""

from __future__ import annotations

from typing import Any

import flask

from service.domain import errors
from service.domain.access import Permission, Role
from service.web import access, gate, operations, road
from service.web.console import forms, page, words

ROLES = [(role.value, role.value) for role in Role]


@page.pages.get("/users")
@access.needs(Permission.ACCESS)
def users() -> flask.Response:
    """The users, who is signed in, and the form for another one."""
    return _show()


@page.pages.post("/users")
@forms.acts
@access.needs(Permission.ACCESS)
def add_user() -> flask.Response:
    """Add one."""
    given = {name: forms.text(name) or "" for name in ("name", "role")}
    try:
        road.current().operations.users.add(given["name"], given["role"], _password(), by=operations.by())
    except (errors.InvalidAccess, errors.UserExists) as error:
        return _show(given=given, faults=_faults(error))
    return forms.done(f"{given['name']} may sign in as {given['role']}", "/console/users")


@page.pages.post("/users/sessions/end")
@forms.acts
@access.needs(Permission.ACCESS)
def end_sessions() -> flask.Response:
    """Sign somebody out everywhere, at once."""
    name = forms.text("name") or ""
    ended = road.current().operations.users.end_sessions(name, by=operations.by())
    return forms.done(f"{name} was signed out of {words.many(ended, 'session')}", "/console/users")


@page.pages.get("/users/<name>")
@access.needs(Permission.ACCESS)
def user(name: str) -> flask.Response:
    """One of them, and what can be changed."""
    return _show_one(name)


@page.pages.post("/users/<name>/role")
@forms.acts
@access.needs(Permission.ACCESS)
def set_role(name: str) -> flask.Response:
    """Give another role."""
    role = forms.text("role") or ""
    access.check_other_user(name)
    try:
        road.current().operations.users.set_role(name, role, by=operations.by())
    except errors.InvalidAccess as error:
        return _show_one(name, faults=_faults(error))
    return forms.done(f"{name} is {role} from now on", f"/console/users/{name}")


@page.pages.post("/users/<name>/password")
@forms.acts
@access.needs(Permission.ACCESS)
def set_password(name: str) -> flask.Response:
    """Give another password."""
    try:
        road.current().operations.users.set_password(name, _password(), by=operations.by())
    except errors.InvalidAccess as error:
        return _show_one(name, faults=_faults(error))
    return forms.done(f"{name} has another password, and is signed out", f"/console/users/{name}")


@page.pages.post("/users/<name>/disable")
@forms.acts
@access.needs(Permission.ACCESS)
def disable_user(name: str) -> flask.Response:
    """Let them sign in no more."""
    access.check_other_user(name)
    road.current().operations.users.disable(name, by=operations.by())
    return forms.done(f"{name} is disabled, and signed out", f"/console/users/{name}")


@page.pages.post("/users/<name>/enable")
@forms.acts
@access.needs(Permission.ACCESS)
def enable_user(name: str) -> flask.Response:
    """Let them sign in again."""
    road.current().operations.users.enable(name, by=operations.by())
    return forms.done(f"{name} may sign in again", f"/console/users/{name}")


@page.pages.get("/users/<name>/remove")
@access.needs(Permission.ACCESS)
def ask_remove_user(name: str) -> flask.Response:
    """The form to remove one."""
    access.check_other_user(name)
    return page.dialog("remove_user.html", one=_find(name))


@page.pages.post("/users/<name>/remove")
@forms.acts
@access.needs(Permission.ACCESS)
def remove_user(name: str) -> flask.Response:
    """Remove them, if the name was typed."""
    access.check_other_user(name)
    forms.check_typed(_find(name)["name"])
    road.current().operations.users.remove(name, by=operations.by())
    return forms.done(f"{name} is removed, and signed out", "/console/users")


def _password() -> str:
    """As it was typed: a blank at its end belongs to it."""
    return flask.request.form.get("password", "")


def _faults(error: errors.MillraceError) -> list[errors.Fault]:
    return list(getattr(error, "faults", None) or [errors.Fault("/name", str(error))])


def _find(name: str) -> dict[str, Any]:
    with gate.reads():
        rows = road.current().operations.users.list()
    found = next((one for one in rows if one["name"] == name), None)
    if found is None:
        raise errors.UserNotFound(f"there is no user {name[:100]!r}")
    return found


def _show(*, given: dict[str, str] | None = None, faults: Any = ()) -> flask.Response:
    here = road.current()
    with gate.reads():
        rows = here.operations.users.list()
        sessions, session_count = here.operations.users.sessions(here.settings.session_idle)
    return page.render(
        "users.html",
        422 if faults else 200,
        rows=rows,
        sessions=sessions,
        session_count=session_count,
        given=given or {},
        faults=list(faults),
        roles=ROLES,
        is_on=here.settings.access == "on",
    )


def _show_one(name: str, faults: Any = ()) -> flask.Response:
    one = _find(name)
    values = {"one": one, "own": access.is_own_user(name), "roles": ROLES, "faults": list(faults)}
    return page.render("user.html", 422 if faults else 200, **values)

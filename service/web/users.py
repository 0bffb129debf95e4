"""The API of local users of the console, who sign in with a password. No answer holds one."""

from __future__ import annotations

from typing import Any

import flask

from service.domain import errors
from service.domain.access import Permission
from service.web import access, answer, body, gate, operations, road, search

pages = flask.Blueprint("users", __name__, url_prefix="/v1/users")


@pages.get("")
@access.needs(Permission.ACCESS)
def list_users() -> answer.Json:
    """Local users by name, with their roles, and when they were seen last."""
    with gate.reads():
        return answer.Json({"users": road.current().operations.users.list()})


@pages.post("")
@access.needs(Permission.ACCESS)
def add_user() -> answer.Json:
    """Add a user: name, role and password stand in the body."""
    operations.asked(search.Why)
    given = _given("name", "role", "password")
    road.current().operations.users.add(given["name"], given["role"], given["password"], by=operations.by())
    return answer.Json({"name": given["name"], "role": given["role"]}, status=201)


@pages.put("/<name>/password")
@access.needs(Permission.ACCESS)
def set_password(name: str) -> flask.Response:
    """Give a user another password, which stands in the body; their sessions end."""
    operations.asked(search.Why)
    road.current().operations.users.set_password(name, _given("password")["password"], by=operations.by())
    return answer.nothing()


@pages.put("/<name>/role")
@access.needs(Permission.ACCESS)
def set_role(name: str) -> flask.Response:
    """Give a user another role, which stands in the body; it counts at once."""
    operations.asked(search.Why)
    access.check_other_user(name)
    road.current().operations.users.set_role(name, _given("role")["role"], by=operations.by())
    return answer.nothing()


@pages.post("/<name>/disable")
@access.needs(Permission.ACCESS)
def disable_user(name: str) -> answer.Json:
    """Let a user sign in no more; their sessions end. Nothing else of them is lost."""
    operations.asked(search.Why)
    access.check_other_user(name)
    road.current().operations.users.disable(name, by=operations.by())
    return answer.Json({"name": name, "disabled": True})


@pages.post("/<name>/enable")
@access.needs(Permission.ACCESS)
def enable_user(name: str) -> answer.Json:
    """Let a user who was disabled sign in again, with the password of before."""
    operations.asked(search.Why)
    road.current().operations.users.enable(name, by=operations.by())
    return answer.Json({"name": name, "disabled": False})


@pages.delete("/<name>")
@access.needs(Permission.ACCESS)
def remove_user(name: str) -> flask.Response:
    """Remove a user; their sessions end."""
    operations.asked(search.Why)
    access.check_other_user(name)
    road.current().operations.users.remove(name, by=operations.by())
    return answer.nothing()


@pages.get("/sessions")
@access.needs(Permission.ACCESS)
def list_sessions() -> answer.Json:
    """Who is signed in to the console, by password or at the issuer, and since when: the 500 who were seen last."""
    here = road.current()
    with gate.reads():
        found, count = here.operations.users.sessions(here.settings.session_idle)
    return answer.Json({"sessions": found, "count": count})


@pages.delete("/<name>/sessions")
@access.needs(Permission.ACCESS)
def end_sessions(name: str) -> answer.Json:
    """Sign somebody out everywhere, at once: of the issuer's people, too (``oidc:…``). They may sign in again."""
    operations.asked(search.Why)
    ended = road.current().operations.users.end_sessions(name, by=operations.by())
    return answer.Json({"name": name, "ended": ended})


def _given(*wanted: str) -> dict[str, str]:
    """The members of the body, each a text. Raises NotStrictJson, InvalidAccess."""
    document: Any = body.read(flask.request, road.current().settings.max_depth).value
    if not isinstance(document, dict):
        raise errors.InvalidAccess([errors.Fault("", f"an object with {' and '.join(wanted)} is wanted")])
    faults = [
        errors.Fault(f"/{name}", "a text is wanted") for name in wanted if not isinstance(document.get(name), str)
    ]
    faults += [
        errors.Fault(body.pointer(name), f"there is no such member; there {'are' if len(wanted) > 1 else 'is'}"
                     f" {', '.join(wanted)}")
        for name in document.keys() - set(wanted)
    ]  # fmt: skip
    if faults:
        raise errors.InvalidAccess(faults)
    return document

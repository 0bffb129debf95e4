"""Which permission each view needs, and who asks.

    @pages.get("/reports")
    @access.needs(Permission.READ)
    def reports() -> flask.Response: ...

A view that nobody has marked is refused to everybody while access is on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import flask

from service.domain import errors
from service.domain.access import ANYONE, Kind, Permission, Principal

View = TypeVar("View", bound=Callable[..., Any])

PRINCIPAL = "millrace.principal"  #: in a WSGI environment: who asks, once that is known


def needs(permission: Permission, *others: Permission) -> Callable[[View], View]:
    """Mark a view with what it takes to call it: one of these. It stands below the route: the innermost decorator.

    A class-based view has it in ``decorators``.
    """

    def mark(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]
        view.permissions = (permission, *others)  # type: ignore[attr-defined]
        return view

    return mark


def needed(view: Callable[..., Any]) -> Permission | None:
    """What it takes to call this view; None: nobody said, so nobody may."""
    return getattr(view, "permission", None)


def all_needed(view: Callable[..., Any]) -> tuple[Permission, ...]:
    """The same with what does in its place; empty: nobody said, so nobody may."""
    return getattr(view, "permissions", ())


def principal() -> Principal:
    """Who asks, in the request that is served now. Raises NotSignedIn where nobody need say."""
    found: Principal | None = flask.request.environ.get(PRINCIPAL)
    if found is None:
        raise errors.NotSignedIn()
    return found


def of(environ: dict[str, Any]) -> Principal | None:
    """Who asks, if they had to say so: None while access is off."""
    found: Principal | None = environ.get(PRINCIPAL)
    return None if found is ANYONE else found


def is_own_user(name: str) -> bool:
    """Whether who asks is signed in as the local user of this name. Names from the issuer have a colon."""
    found = of(flask.request.environ)
    return found is not None and found.kind is Kind.SESSION and found.name == name


def check_other_user(name: str) -> None:
    """Nobody locks themselves out with one click. Raises OwnUser."""
    if is_own_user(name):
        raise errors.OwnUser(f"you are signed in as {name}: another admin can do this, or `millrace users` on the host")


def may(permission: Permission) -> bool:
    """Whether who asks now may do this: for what a page shows, and for views that show some more than others."""
    found: Principal | None = flask.request.environ.get(PRINCIPAL)
    return found is not None and found.may(permission)


def require(permission: Permission) -> None:
    """Raises NotPermitted unless who asks may do this."""
    if not may(permission):
        raise errors.NotPermitted(
            f"this needs the permission {permission.value}, which your role does not grant", permission=permission.value
        )

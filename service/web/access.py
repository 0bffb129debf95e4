"""Which permission each view needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from service.domain.access import Permission

View = TypeVar("View", bound=Callable[..., Any])


def needs(permission: Permission) -> Callable[[View], View]:
    """Mark a view with what it takes to call it. It stands below the route: the innermost decorator."""

    def mark(view: View) -> View:
        view.permission = permission  # type: ignore[attr-defined]
        return view

    return mark


def needed(view: Callable[..., Any]) -> Permission | None:
    """What it takes to call this view; None: nobody said, so nobody may."""
    return getattr(view, "permission", None)

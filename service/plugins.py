"""How user code enters: packages named in ``MILLRACE_APPS`` and entry points of the group ``millrace.apps``.

An app is a package. What it offers is found by the names of its modules: ``handlers`` and ``schedules`` are imported in
every process, ``views`` (with a list ``blueprints``) in the web process, ``migrations`` (an alembic folder) by
``millrace migrate``. ``queues`` is imported after the handlers and schedules of all apps: for what has something to
do with every queue. Our own handlers and schedules enter by the same door.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import pathlib
import sys
from collections.abc import Iterable
from types import ModuleType

from service.domain import errors, handlers, schedules

GROUP = "millrace.apps"

#: Filled by the decorators and calls in ``workers`` and ``schedules`` while apps are imported.
registry = handlers.Registry()
calendar = schedules.Calendar()

_loading: list[str] = []  # The app that is being imported.


def apps(named: Iterable[str]) -> list[str]:
    """The names of all apps, those of entry points first, each once."""
    found = [entry.value for entry in importlib.metadata.entry_points(group=GROUP)]
    return list(dict.fromkeys([*found, *named]))


@functools.cache
def load(named: tuple[str, ...]) -> None:
    """Import the handlers and schedules of all apps, which fills ``registry`` and ``calendar``."""
    # As with `celery -A`, what lies in the current folder can be named.
    here = str(pathlib.Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    for app in apps(named):
        _loading[:] = [app]
        try:
            _import_app(app)
            for part in ("handlers", "schedules"):
                optional(app, part)
        finally:
            _loading.clear()
    for app in apps(named):
        optional(app, "queues")


def loading() -> str | None:
    """The app that is being imported at this moment: whose a declaration is."""
    return _loading[0] if _loading else None


def optional(app: str, part: str) -> ModuleType | None:
    """The module ``part`` of an app, or None if the app has none. What fails inside the module is raised."""
    name = f"{app}.{part}"
    if not hasattr(importlib.import_module(app), "__path__") or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)


def _import_app(app: str) -> None:
    try:
        importlib.import_module(app)
    except ModuleNotFoundError as error:
        if error.name is None or not app.startswith(error.name):
            raise
        raise errors.SettingsError(
            f"MILLRACE_APPS: there is no package {app!r} (install it, or start in the folder that holds it)"
        ) from None

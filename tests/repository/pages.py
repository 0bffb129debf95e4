"""Pages that are generated from the code. ``python -m tests.repository.pages`` writes them anew."""

from __future__ import annotations

import inspect
import os
import pathlib
import re
import subprocess
import sys

from service import settings
from service.ledger import grants
from tests.repository import kubernetes

ROOT = pathlib.Path(__file__).parents[2]

HEAD = """# Settings

All settings come from the environment, are read once at start, and are checked: a fault is told in one line with its
name. Those marked with *file* may also be given as the path of a file, in `<NAME>_FILE`; files of TLS that
an address in a file names without a folder stand beside it. Without any setting, `millrace up` runs everything.

*Generated from `service/settings.py`; `make verify` compares.*

| Name | Default | What it is |
|---|---|---|
"""


def settings_page() -> str:
    """``docs/settings.md``."""
    rows = []
    for name, about in _comments().items():
        default = settings.Settings.model_fields[name].default
        shown = "" if default in ("", ()) else f"`{default}`"
        file = " *file*" if name in settings.SECRETS else ""
        rows.append(
            f"| `{settings.PREFIX}{name.upper()}`{file} | {shown} | {about.replace('``', '`').replace('|', '')} |\n"
        )
    return HEAD + "".join(rows)


def _comments() -> dict[str, str]:
    """The ``#:`` lines above each field."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(settings.Settings).splitlines():
        if comment := re.match(r"    #: (.*)", line):
            above.append(comment[1])
        elif field := re.match(r"    (\w+): ", line):
            if above:
                found[field[1]] = " ".join(above)
            above = []
    return found


def objectives_rules() -> str:
    """``monitoring/prometheus/rules/objectives.yml``, for the example application."""
    path = os.pathsep.join([str(ROOT / "examples/numbers"), str(ROOT)])
    environment = os.environ | {"MILLRACE_APPS": "numbers_app", "PYTHONPATH": path}
    words = [sys.executable, "-m", "service", "objectives"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


PAGES = {
    "deploy/postgresql/roles.sql": grants.script,
    "docs/settings.md": settings_page,
    "monitoring/prometheus/rules/objectives.yml": objectives_rules,
    "deploy/kubernetes/components/monitoring/rules.yaml": kubernetes.rules,
}

if __name__ == "__main__":
    for path, write in PAGES.items():
        (ROOT / path).write_text(write())

"""The ledger's own tests once more, with the roles of its processes: none misses a right, whatever a test has it do."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

import service.ledger
from tests import under_roles
from tests.processes import ROOT

#: What has the classes do all that they can, without processes beside it; not what looks at the tests' own engine.
PARTS = (
    "tests/integration/access/test_keys.py",
    "tests/integration/clock",
    "tests/integration/detached/test_leases.py",
    "tests/integration/detached/test_outcomes.py",
    "tests/integration/detached/test_progress.py",
    "tests/integration/operations",
    "tests/integration/retention",
    "tests/integration/schedules",
    "tests/integration/test_audit.py",
    "tests/integration/test_budgets.py",
    "tests/integration/test_check_deploy.py",
    "tests/integration/test_console.py",
    "tests/integration/test_discard.py",
    "tests/integration/test_execute.py",
    "tests/integration/test_explain.py",
    "tests/integration/test_waits.py",
)


@pytest.mark.heavy
@pytest.mark.postgres
@pytest.mark.timeout(1200)
def test_nothing_is_refused_that_is_not_refused_to_an_administrator() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MILLRACE_"))}
    words = [
        "pytest",
        "-q",
        "-p",
        "tests.under_roles",
        "-p",
        "no:cacheprovider",
        "-m",
        "not heavy",
        "-k",
        "not hammer",
        *PARTS,
    ]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    (said,) = [line for line in done.stdout.splitlines() if line.startswith(under_roles.SAID)]
    used = set(json.loads(said.removeprefix(under_roles.SAID)))
    assert {kind.__name__ for kind in under_roles.CLASSES} - used == set()


def test_what_is_run_under_roles_is_there() -> None:
    """So that a test that was moved is missed by more than the long one above."""
    assert [part for part in PARTS if not (ROOT / part).exists()] == []


def test_every_class_of_the_ledger_has_its_role() -> None:
    there = {kind for kind in _classes() if "engine" in inspect.signature(kind.__init__).parameters}  # type: ignore[misc]
    assert len(there) > 25
    assert there == {*under_roles.CLASSES, *under_roles.PARTS}


def _classes() -> Iterator[type]:
    for found in pkgutil.iter_modules(service.ledger.__path__, "service.ledger."):
        module = importlib.import_module(found.name)
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and not name.startswith("_") and "__init__" in vars(kind):
                yield kind

"""Docs agree with the code, and the code with itself."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import tomllib

import pytest

from service import __version__, crashpoints, settings
from service.broker import topology as broker_topology
from service.domain import topology
from tests.repository import pages


@pytest.mark.parametrize("path", pages.PAGES)
def test_generated_pages_are_those_of_today(path: str) -> None:
    assert (pages.ROOT / path).read_text() == pages.PAGES[path](), "python -m tests.repository.pages writes it anew"


def test_every_setting_is_described() -> None:
    assert set(pages._comments()) == set(settings.Settings.model_fields)


def test_the_definitions_for_rabbitmq_are_the_topology() -> None:
    found = json.loads(broker_topology.definitions(frozenset({"reports"})))
    assert [e["name"] for e in found["exchanges"]] == list(topology.EXCHANGES)
    assert {q["name"] for q in found["queues"]} == {"events", "periodic", "reports", "dead"}
    assert all(q["arguments"]["x-queue-type"] == "quorum" for q in found["queues"])
    names = ("events", "reports", "events.parallel", "dead", "amq.gen-x", "w@h.celery.pidbox")
    patterns = [re.compile(policy["pattern"]) for policy in found["policies"]]
    # Each of our queues has one limit of deliveries, and the last of them as good as none.
    assert [[bool(pattern.search(name)) for name in names] for pattern in patterns] == [
        [True, True, True, False, False, False], [False, False, False, True, False, False],
    ]  # fmt: skip
    limits = [policy["definition"] for policy in found["policies"]]
    assert limits == [{"delivery-limit": topology.DELIVERY_LIMIT}, {"delivery-limit": topology.NO_LIMIT}]


def test_names_on_the_broker_are_written_in_one_file() -> None:
    for path in (pages.ROOT / "service").rglob("*.py"):
        if path.name != "topology.py":
            text = path.read_text()
            assert not re.search(r'"millrace\.(events|periodic|dead)"', text), path


def test_the_environment_is_read_in_one_file() -> None:
    readers = {
        str(path.relative_to(pages.ROOT))
        for folder in ("service", "workers", "schedules")
        for path in (pages.ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }
    assert readers <= {"service/settings.py", "service/local/commands.py"}


def test_every_crash_point_is_on_the_road() -> None:
    folders = ("application", "broker", "ledger")
    code = "".join(p.read_text() for f in folders for p in (pages.ROOT / "service" / f).glob("*.py"))
    assert [p for p in crashpoints.POINTS if f'"{p}"' not in code] == []


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [
        *pages.ROOT.glob("*.md"),
        *(pages.ROOT / "docs").rglob("*.md"),
        *(pages.ROOT / "examples").rglob("*.md"),
    ]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_the_docs_name_exist() -> None:
    for page in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
        for name in re.findall(r"`([\w-]+/[\w./-]*)`", (pages.ROOT / page).read_text()):
            # Where a change belongs is told without `service/`.
            assert any((folder / name).exists() for folder in (pages.ROOT, pages.ROOT / "service")), f"{page}: {name}"


def test_the_readme_has_the_targets_of_make() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), re.MULTILINE))
    table = (pages.ROOT / "README.md").read_text().partition("\n## Make\n")[2]
    named = set(re.findall(r"`make ([a-z-]+)", table))
    assert targets - named == {"help", "venv", "lock", "clean"}
    assert named <= targets


def test_locks_hold_names_versions_and_hashes_only() -> None:
    for lock in pages.ROOT.glob("**/requirements.lock"):
        if "var" in lock.relative_to(pages.ROOT).parts:
            continue
        for line in lock.read_text().splitlines():
            assert re.match(r"^(\s*#|\s*--hash=sha256:|[a-z0-9._\[\],-]+==)", line) or not line.strip(), line
            assert "://" not in line


def test_the_version_is_one() -> None:
    config = (pages.ROOT / "setup.cfg").read_text()
    assert f"version = {__version__}" in config
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())
    assert set(project) == {"build-system", "tool"}
    assert set(project["tool"]) == {"ruff"}


def test_the_top_level_is_what_was_agreed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=pages.ROOT, capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("not a git checkout")
    folders = {pathlib.PurePath(p).parts[0] for p in tracked.splitlines() if "/" in p}
    assert folders <= {
        "service", "workers", "schedules", "deploy", "monitoring", "tests", "examples", "bench", "docs", ".ci",
    }  # fmt: skip

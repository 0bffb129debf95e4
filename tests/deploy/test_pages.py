"""``docs/deploy.md`` is typed as far as that can be here, and names what there is; the handbook's site is built.

Its part on compose is typed in ``test_services.py``, that on secrets for Kubernetes in ``test_pods.py``.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.deploy import compose, manifests, units
from tests.patience import PATIENCE
from tests.processes import ROOT

PAGE = (ROOT / "docs/deploy.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TYPED = [content for language, content in BLOCKS if language == "sh"]
OTHERS = "\n".join(content for language, content in BLOCKS if language == "")
#: What stands on another host and is fetched when a page is opened.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"']?(?:https?:)?//|<link(?![^>]+canonical)[^>]+href=[\"']?(?:https?:)?//"
)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder like ours, in which commands may write."""
    for name in ("deploy", "requirements.lock", "setup.cfg", "monitoring"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/millrace"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m service "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("block", TYPED, ids=[block.split()[1] for block in TYPED])
def test_what_is_typed_prints_what_the_page_says(folder: pathlib.Path, block: str) -> None:
    if "kubectl" in block and not shutil.which("kubectl"):
        pytest.skip("needs kubectl")
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MILLRACE_")}
    environment |= {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=120 * PATIENCE,
        )  # fmt: skip
        assert done.stdout == said, done.stderr


def test_what_cannot_be_typed_here_names_what_there_is() -> None:
    made = ("deploy/compose/.env", "deploy/compose/secrets")
    for path in set(re.findall(r"(?<!exec )(?<!tests/)\bdeploy/[\w./-]+\w", PAGE)):
        assert (ROOT / path).exists() or path.startswith(made), path
    services = compose.read()["services"]
    assert set(re.findall(r"compose (?:build|run(?: --?\S+)*) (\w+)", PAGE)) <= set(services)
    profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
    assert set(re.findall(r"--profile (\w+)", OTHERS)) == profiles
    for workload in re.findall(r"exec deploy/(\w+)", PAGE):
        assert manifests.named(manifests.rendered("dev"), "Deployment", workload)
    for unit in re.findall(r"systemctl \w+ (?:--now )?(millrace[\w@.-]*)", PAGE):
        name = re.sub(r"@\w+", "@", unit)
        assert (units.FOLDER / name).exists() or (units.FOLDER / f"{name}.service").exists(), unit
    overlays = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Kubernetes")[2].partition("\n#")[0], re.MULTILINE)
    assert sorted(overlays) == manifests.OVERLAYS


def test_every_variable_of_the_compose_file_is_named() -> None:
    text = "".join((compose.FOLDER / name).read_text() for name in compose.FILES)
    for name in set(re.findall(r"\$\{(\w+)", text)):
        assert f"`{name}`" in PAGE, name


def build(folder: pathlib.Path, configuration: pathlib.Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    """The site, as `make docs` builds it; any warning is an error."""
    words = ["mkdocs", "build", "--config-file", str(configuration), "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


class TestSite:
    """Built once."""

    @pytest.fixture(scope="class")
    @classmethod
    def site(cls, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
        folder = tmp_path_factory.mktemp("site")
        done = build(folder)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        return folder

    def test_every_page_is_in_it(self, site: pathlib.Path) -> None:
        for path in (ROOT / "docs").rglob("*.md"):
            name = path.relative_to(ROOT / "docs").with_suffix(".html")
            target = name.with_name("index.html") if name.stem == "README" else name
            assert (site / target).is_file(), path

    def test_it_asks_no_other_host(self, site: pathlib.Path) -> None:
        pages = list(site.rglob("*.html"))
        assert len(pages) > 60
        for page in pages:
            assert not FETCHED.search(page.read_text()), page.name
        for style in site.rglob("*.css"):
            assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style.name

    def test_links_to_pages_of_the_root_lead_there(self, site: pathlib.Path) -> None:
        assert 'href="architecture.html#the-road"' in (site / "guarantees.html").read_text()
        assert 'href="guarantees.html"' in (site / "architecture.html").read_text()
        assert 'href="../architecture.html' in "".join(p.read_text() for p in (site / "runbooks").glob("*.html"))


def test_a_link_that_leads_nowhere_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Here\n\n[gone](nowhere.md), [gone](index.md#nothing-like-it)\n")
    text = (ROOT / "mkdocs.yml").read_text().replace("hooks: [deploy/handbook.py]\n", "")
    (tmp_path / "mkdocs.yml").write_text(text.partition("nav:\n  - ")[0])
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "nothing-like-it" in done.stderr

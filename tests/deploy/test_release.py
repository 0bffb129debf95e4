"""A release is made, twice the same, installed where nothing is, and run."""

from __future__ import annotations

import email.parser
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.release import __main__ as release
from deploy.release import building, sbom
from service import __version__
from service.local import ports
from tests.patience import PATIENCE, wait
from tests.processes import ROOT

#: Versions of Python that it is promised to run on, the oldest and the newest.
PYTHONS = ("3.11", "3.13")
APP = """
from workers import handler


@handler("hello.said")
def said(payload):
    return payload["to"]
"""
#: A page with what is beside the code in the wheel: templates, a style sheet, a script of others.
PAGES = ("/healthz", "/console", "/docs", "/openapi.json")


# --- wheel and sdist ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A release of this checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("a release is made of a checkout with git")
    folder = tmp_path_factory.mktemp("dist")
    (folder / f"{sbom.PROJECT}-0.0.9.tar.gz").touch()  # Of the release before.
    release.make(folder)
    return folder


@pytest.mark.heavy
def test_a_release_has_these_files_and_their_sums(dist: pathlib.Path) -> None:
    stem = f"millrace-{__version__}"
    names = {f"{stem}-py3-none-any.whl", f"{stem}.tar.gz", *(f"{stem}.{end}" for end in ("cdx.json", "licences.md"))}
    names.add(f"{stem}.requirements.txt")
    sums = dict(line.split("  ")[::-1] for line in (dist / building.SUMS).read_text().splitlines())
    assert {path.name for path in dist.iterdir()} == names | {building.SUMS} == set(sums) | {building.SUMS}
    for name, digest in sums.items():
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest


@pytest.mark.heavy
def test_it_is_the_same_each_time_wherever_and_by_whomever(
    dist: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    before = os.umask(0o077)
    try:
        release.make(tmp_path)
    finally:
        os.umask(before)
    for path in dist.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


@pytest.mark.heavy
def test_the_archives_hold_what_they_should_and_say_what_they_are(dist: pathlib.Path) -> None:
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert not {name for name in inside if not re.match(r"(service|workers|schedules|millrace-[\d.]+dist-info)/", name)}
    assert {"service/web/console/static/vendor/uPlot.LICENSE", "service/ledger/migrations/script.py.mako"} <= inside
    assert {f"{package}/py.typed" for package in ("service", "workers", "schedules")} <= inside
    stem = f"millrace-{__version__}"
    with tarfile.open(sdist) as files:
        assert {member.mtime for member in files} == {building.epoch()}
        assert {(member.uid, member.uname) for member in files} == {(0, "")}
        names = set(files.getnames())
    beside = ("deploy/locked", "deploy/kubernetes/base/web.yaml", "monitoring/prometheus/rules/objectives.yml")
    assert {f"{stem}/{name}" for name in (*beside, "requirements.lock", "CHANGELOG.md")} <= names
    about = email.parser.Parser().parsestr(zipfile.ZipFile(wheel).read(f"{stem}.dist-info/METADATA").decode())
    assert (about["Name"], about["Version"], about["Requires-Python"]) == ("millrace", __version__, ">=3.11")
    assert {"embedded", "otel"} <= set(about.get_all("Provides-Extra") or ())
    classifiers = set(about.get_all("Classifier") or ())
    assert {f"Programming Language :: Python :: {version}" for version in PYTHONS} <= classifiers


# --- where nothing is -----------------------------------------------------------------------------------------------


def python(version: str) -> str:
    """A Python of this version; the test is skipped where there is none."""
    pyenv = sorted(pathlib.Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    candidates = [sys.executable, shutil.which(f"python{version}"), *map(str, pyenv)]
    for path in filter(None, candidates):
        words = [path, "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() == version:
            return path
    pytest.skip(f"needs Python {version}")


class Up:
    """``millrace up`` from a wheel."""

    def __init__(self, home: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self.address = f"127.0.0.1:{ports.free()}"
        self.log = folder / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [home / "bin/millrace", "up"],
                cwd=folder,
                env=environment | {"MILLRACE_HTTP": self.address},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, payload: object = None) -> tuple[int, Any]:
        """(status, body); the status 0 is for a door that is not open."""
        body = None if payload is None else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        request = urllib.request.Request(f"http://{self.address}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=20 * PATIENCE) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return 0, None


@pytest.fixture
def up(request: pytest.FixtureRequest, dist: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Up]:
    """The steps of docs/releases.md, in a folder where nothing is."""
    home, folder = tmp_path / "environment", tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "hello.py").write_text(APP)
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("PYTHON", "MILLRACE_", "VIRTUAL_ENV"))}
    (wheel,), (lock,) = dist.glob("*.whl"), dist.glob("*.requirements.txt")
    pip = [str(home / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for words in (
        [python(request.param), "-m", "venv", str(home)],
        [*pip, "install", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)],
        [*pip, "install", "--no-deps", "--no-index", str(wheel)],
        [*pip, "check"],
    ):
        done = subprocess.run(words, env=kept, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    found = Up(home, folder, kept | {"MILLRACE_APPS": "hello"})
    try:
        yield found
    finally:
        found.process.send_signal(signal.SIGINT)
        try:
            found.process.wait(30 * PATIENCE)
        except subprocess.TimeoutExpired:
            found.process.kill()
            raise


@pytest.mark.heavy
@pytest.mark.timeout(900)  # Sixty packages are fetched and unpacked.
@pytest.mark.parametrize("up", PYTHONS, indirect=True)
def test_it_runs_where_nothing_is_and_works_an_event(up: Up) -> None:
    wait(lambda: up.ask("/readyz")[0] == 200, 60, "the door is open")
    status, event = up.ask("/v1/events/hello.said", {"to": "world"})
    assert status == 202
    wait(lambda: up.ask(f"/v1/events/{event['id']}")[1]["state"] == "succeeded", 60, "the event succeeds")
    assert up.ask(f"/v1/events/{event['id']}")[1]["result"] == "world"
    for page in PAGES:
        assert up.ask(page)[0] == 200, page
    linked = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|svg)[^"]*)"', up.ask("/console")[1])
    assert linked
    for path in linked:
        assert up.ask(path)[0] == 200, path

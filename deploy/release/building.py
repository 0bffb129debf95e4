"""Wheel and sdist, the same bytes each time: of tracked files alone, with one time, no owner, no modes by chance."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable

from deploy.release import ROOT

SUMS = "SHA256SUMS"
#: A hook of PEP 517, called in the folder of the sources.
HOOK = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def epoch() -> int:
    """The time of everything in a release, in seconds: SOURCE_DATE_EPOCH, else the last commit's.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))


def uncommitted() -> list[str]:
    """What differs from the last commit."""
    return [line[3:] for line in _git("status", "--porcelain").splitlines()]


def build(folder: pathlib.Path, epoch: int) -> tuple[pathlib.Path, pathlib.Path]:
    """Make (sdist, wheel) in a folder. The wheel is built of what is in the sdist, so that anybody can."""
    with tempfile.TemporaryDirectory() as made:
        work = pathlib.Path(made)
        _lay_out(work / "source")
        _hook("build_sdist", work / "source", work, epoch)
        (rough,) = work.glob("*.tar.gz")
        sdist = folder / rough.name
        sdist.write_bytes(_same_each_time(rough.read_bytes(), epoch))
        with tarfile.open(sdist) as files:
            files.extractall(work / "sdist", filter="data")
        (unpacked,) = (work / "sdist").iterdir()
        _hook("build_wheel", unpacked, work, epoch)
        (wheel,) = work.glob("*.whl")
        shutil.copy(wheel, folder)
        return sdist, folder / wheel.name


def sums(folder: pathlib.Path, paths: Iterable[pathlib.Path]) -> pathlib.Path:
    """A file for ``sha256sum --check`` with all the others."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(paths)]
    (folder / SUMS).write_text("".join(lines))
    return folder / SUMS


def _lay_out(folder: pathlib.Path) -> None:
    """Copy what git tracks, as it is here."""
    for name in filter(None, _git("ls-files", "-z").split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _hook(name: str, source: pathlib.Path, folder: pathlib.Path, epoch: int) -> None:
    """Have setuptools build one of the two. Raises SystemExit with what it said."""
    done = subprocess.run(
        [sys.executable, "-c", HOOK, name, str(folder)],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
        umask=0o022,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"millrace: {name} failed:\n{done.stdout}{done.stderr}")


def _same_each_time(archive: bytes, epoch: int) -> bytes:
    """A tar archive in order, of one time and of nobody's; gzip's own header has the same time."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as found,
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as made,
    ):
        for member in sorted(found.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, found.extractfile(member) if member.isfile() else None)
    return out.getvalue()


def _git(*words: str) -> str:
    """What git says of this checkout. Raises SystemExit where it is none."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"millrace: a release needs a checkout with git: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")

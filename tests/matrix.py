"""`make matrix`: the tests that meet servers, against other versions of RabbitMQ and PostgreSQL.

Debian's later releases have them. Their packages are unpacked into ``var/matrix/<release>`` from the mirror that apt
uses here, and their programs are told to load the C library that lies beside them: nothing is installed, no root and
no container is needed, and the machine's own servers stay what they are.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

import click

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "var" / "matrix"
SOURCES = pathlib.Path("/etc/apt/sources.list.d/debian.sources")
#: Debian's release → its PostgreSQL. None: what is installed here, the first row of the matrix.
RELEASES = {"trixie": "17", "forky": "18"}
TESTS = ["tests/integration", "tests/e2e", "tests/faults"]


def main(words: Sequence[str] | None = None) -> int:
    """Run the tests once for each release; 1 if one of the runs failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("releases", nargs="*", metavar="RELEASE", help=f"of {', '.join(RELEASES)}; all without one")
    parser.add_argument("--pytest", default="", metavar="WORDS", help="more words for pytest, like '-k accept -x'")
    asked = parser.parse_args(words)
    results = {}
    for release in asked.releases or RELEASES:
        if release not in RELEASES:
            parser.error(f"{release}: one of {', '.join(RELEASES)} is wanted")
        folder = unpack(release, RELEASES[release])
        path = os.pathsep.join([*map(str, programs(folder)), os.environ["PATH"]])
        click.echo(f"millrace: {release}: {versions(folder)}")
        command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", "-m", "not heavy", "-p"]
        done = subprocess.run(
            [*command, "no:cacheprovider", *TESTS, *asked.pytest.split()],
            cwd=ROOT, env=os.environ | {"PATH": path}, check=False,
        )  # fmt: skip
        results[f"{release}: {versions(folder)}"] = done.returncode
    for name, code in results.items():
        click.echo(f"millrace: {name}: {'failed' if code else 'passed'}")
    return int(any(results.values()))


def unpack(release: str, postgres: str) -> pathlib.Path:
    """A release's servers with all they need; what was unpacked before is used again."""
    folder = FOLDER / release
    ready = folder / "ready"
    if ready.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    click.echo(f"millrace: {release}: fetching its servers (about 150 MB, once)")
    for package in fetch(folder, release, ["rabbitmq-server", f"postgresql-{postgres}", "patchelf"]):
        subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    shutil.rmtree(folder / "cache")
    relocate(folder)
    ready.touch()
    return folder


def fetch(folder: pathlib.Path, release: str, packages: Sequence[str]) -> list[pathlib.Path]:
    """The packages and all that they depend on, as for a machine on which nothing is installed."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (folder / name).mkdir(parents=True)
    (folder / "state/status").touch()
    found = re.search(r"^URIs:\s*(\S+)", SOURCES.read_text(), re.MULTILINE)
    assert found, f"{SOURCES} names no mirror"
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "etc/sources.list").write_text(f"deb [signed-by={keyring}] {found[1]} {release} main\n")
    options = {
        "Dir::State": folder / "state", "Dir::State::status": folder / "state/status", "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "etc/sources.list", "Dir::Etc::sourceparts": os.devnull,
        "Dir::Etc::preferencesparts": os.devnull, "APT::Install-Recommends": "false", "APT::Sandbox::User": "",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "-y", "--download-only", "install", *packages], check=True, stdout=subprocess.DEVNULL)
    return sorted((folder / "cache/archives").glob("*.deb"))


def relocate(folder: pathlib.Path) -> None:
    """Make the programs find their libraries, and Erlang itself, in this folder."""
    root = folder / "root"
    (loader,) = root.glob("usr/lib/*-linux-gnu*/ld-linux-*.so.*")
    libraries = f"{loader.parent}:{loader.parent / 'systemd'}"
    patchelf = [loader, "--library-path", libraries, root / "usr/bin/patchelf"]
    for program in executables(root / "usr/lib/erlang", root / "usr/lib/postgresql"):
        # RPATH and not RUNPATH: what the program loads while it runs is looked for there as well.
        subprocess.run(
            [*patchelf, "--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries, program], check=True
        )
    for script in (root / "usr/lib/erlang").rglob("bin/erl"):
        script.write_text(re.sub(r"(?m)^(\s*ROOTDIR=)/usr\S*", rf"\g<1>{root}/usr/lib/erlang", script.read_text()))


def executables(*folders: pathlib.Path) -> Iterator[pathlib.Path]:
    """The programs in these folders that a loader starts."""
    for path in (p for folder in folders for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        with path.open("rb") as file:
            is_elf = file.read(4) == b"\x7fELF"
        if is_elf and os.access(path, os.X_OK) and ".so" not in path.name:
            yield path


def programs(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders to put on the PATH."""
    root = folder / "root/usr/lib"
    return [
        *root.glob("rabbitmq/lib/rabbitmq_server-*/sbin"),
        root / "erlang/bin",
        *root.glob("postgresql/*/bin"),
    ]


def versions(folder: pathlib.Path) -> str:
    """What was unpacked, for people."""
    rabbitmq, _, postgres = programs(folder)
    return f"RabbitMQ {rabbitmq.parent.name.partition('-')[2]}, PostgreSQL {postgres.parent.name}"


if __name__ == "__main__":
    sys.exit(main())

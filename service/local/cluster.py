"""The folder of a private PostgreSQL server: its data, password and certificate, and how they are made."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from service.local import programs, spawn, unprivileged

USER = "millrace"


class Cluster:
    """A folder with ``data``, ``password`` (mode 600), ``port.json``, ``postgres.log`` and perhaps a certificate.

    Making one prepares the folder: what is there is used again, what is missing is made.
    """

    def __init__(self, home: Path, *, tls: bool = False) -> None:
        self.home = spawn.private_folder(home.absolute())
        self.data = self.home / "data"
        self.log = self.home / "postgres.log"
        self.ports = self.home / "port.json"
        self.key, self.certificate = self.home / "server.key", self.home / "server.crt"
        self.bin = programs.postgres(self._version_of_data())
        self.way = unprivileged.way(self.bin / "postgres", self.home)
        self.password = self._find_password()
        if not (self.data / "PG_VERSION").exists():
            self._make_data()
        if tls and not self.certificate.exists():
            self._make_certificate()

    def command(self, program: str) -> list[str]:
        """The words that run one of PostgreSQL's programs as a user it accepts."""
        return [*self.way.prefix, str(self.bin / program)]

    def running(self) -> int:
        """The process id of the server that runs on this data now, 0 when none does."""
        pid = self._noted_pid()
        return pid if _works_in(pid, self.data) else 0

    def forget_stranger(self) -> None:
        """Take the pid file away when its number belongs to another program by now.

        PostgreSQL sees by itself that the process named in the file is gone; but a number that was
        given to another program since would keep it from starting for ever.
        """
        pid = self._noted_pid()
        if pid and Path(f"/proc/{pid}").exists() and not self.running():
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _noted_pid(self) -> int:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError):
            return 0

    def _version_of_data(self) -> str:
        version = self.data / "PG_VERSION"
        return version.read_text().strip() if version.exists() else ""

    def _find_password(self) -> str:
        path = self.home / "password"
        if not path.exists():
            spawn.write_secret(path, secrets.token_urlsafe(24))
            self.way.hand_over(self.home)
        return path.read_text().strip()

    def _make_data(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # What an initdb that was cut short has left.
        done = subprocess.run(
            [
                *self.command("initdb"),
                *("-D", str(self.data), f"--username={USER}", f"--pwfile={self.home / 'password'}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
            ],
            env=spawn.ENVIRONMENT,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = [line for line in done.stderr.splitlines() if "rror" in line]
            raise spawn.LocalError(f"initdb failed: {reason[0] if reason else spawn.how_it_ended(done.returncode)}")

    def _make_certificate(self) -> None:
        openssl = shutil.which("openssl", path=spawn.PATH)
        if openssl is None:
            raise spawn.LocalError("openssl, which makes the certificate for TLS, was not found: install openssl")
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", self.key, "-out", self.certificate),
            ],
            env=spawn.ENVIRONMENT,
            capture_output=True,
            check=True,
        )
        self.key.chmod(0o600)
        self.way.hand_over(self.home)


def _works_in(pid: int, data: Path) -> bool:
    """Whether this process is a server on this data: a postmaster's working folder is its data."""
    try:
        return bool(pid) and Path(os.readlink(f"/proc/{pid}/cwd")) == data
    except OSError:
        return False

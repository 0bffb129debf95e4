"""Certificates for tests: an authority, and what it signs; made by openssl."""

from __future__ import annotations

import pathlib
import subprocess

from service.local import spawn

HERE = "DNS:localhost,IP:127.0.0.1"  #: this machine, as certificates name it


class Authority:
    """An authority in a folder, with ``ca.crt``."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=authority"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-keyout", folder / "ca.key", "-out", self.certificate),
        )

    def sign(self, name: str, *, days: int = 30, good_for: str = HERE) -> tuple[pathlib.Path, pathlib.Path]:
        """(certificate, key) for this name, good for these hosts; of less than 0 days: one that has expired."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={good_for}\n")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key"),
            *("-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", certificate),
        )
        return certificate, key


def _openssl(*words: str | pathlib.Path) -> None:
    subprocess.run(["openssl", *map(str, words)], env=spawn.ENVIRONMENT, check=True, capture_output=True)

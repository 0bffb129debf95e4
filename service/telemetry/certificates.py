"""The certificates that a process uses: their files are read again when they change, and it is told when they end."""

from __future__ import annotations

import math
import os
import pathlib
import urllib.parse
from collections.abc import Callable

from cryptography import x509

#: Certificates in a file: more of them are the authorities of a system, of which some have always ended.
CHAIN = 5
#: Parameters of a URL that name such files: those of PostgreSQL's client, and of RabbitMQ's.
PARAMETERS = ("sslcert", "sslrootcert", "certfile", "cacertfile")


class File:
    """A file with certificates (PEM)."""

    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(path)
        self._stamp: tuple[int, int] | None = None
        self._until = math.nan

    def until(self) -> float:
        """When the first of them ends, in seconds since the epoch. NaN: it cannot be read, or holds a system's."""
        try:
            found = os.stat(self._path)
            if (stamp := (found.st_mtime_ns, found.st_ino)) != self._stamp:
                self._until = _first_end(self._path.read_bytes())
                self._stamp = stamp
        except (OSError, ValueError):
            self._stamp, self._until = None, math.nan
        return self._until


def named(url: str) -> Callable[[], float] | None:
    """What tells when the first of the certificates ends that a URL names; None: it names none."""
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    files = [File(asked[name]) for name in PARAMETERS if name in asked]
    if not files:
        return None
    return lambda: min((end for file in files if not math.isnan(end := file.until())), default=math.nan)


def _first_end(text: bytes) -> float:
    found = x509.load_pem_x509_certificates(text)
    return min(one.not_valid_after_utc.timestamp() for one in found) if len(found) <= CHAIN else math.nan

"""An address that a service manager keeps open: the door takes its socket over, and may start again unnoticed.

The protocol is systemd's, sd_listen_fds(3): ``LISTEN_PID``, ``LISTEN_FDS``, and the sockets from descriptor 3 on.
"""

from __future__ import annotations

import ipaddress
import os
import socket

import granian.server
from granian._granian import SocketHolder

from service import settings as configuration
from service.domain import errors
from service.settings import Settings

FIRST = 3  #: the descriptor of the first socket that is handed over (SD_LISTEN_FDS_START)
LISTENERS = (socket.AF_INET, socket.AF_INET6)


class Server(granian.server.MPServer):
    """granian on the socket that is open already, for which it has no option (emmett-framework/granian, issue 786)."""

    def _init_shared_socket(self) -> None:
        self._shd = SocketHolder(FIRST, False, self.backlog)  # type: ignore[assignment, call-arg]
        self._sso = None


def is_open(settings: Settings) -> bool:
    """Whether the address is open already, by a socket that was handed to this process.

    Raises SettingsError where that is not ``MILLRACE_HTTP``: by it is judged who can come to the door.
    """
    if configuration.environment("LISTEN_PID") != str(os.getpid()):
        return False
    number = configuration.environment("LISTEN_FDS")
    if number != "1":
        raise errors.SettingsError(f"LISTEN_FDS={number}: one socket is wanted, that of MILLRACE_HTTP={settings.http}")
    try:
        os.set_inheritable(FIRST, False)
        with socket.socket(fileno=os.dup(FIRST)) as handed:
            listens = handed.family in LISTENERS and handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            host, port = handed.getsockname()[:2] if listens else ("", 0)
    except OSError:
        listens = 0
    if not listens:
        raise errors.SettingsError("LISTEN_FDS=1: what was handed over is no socket of TCP that listens")
    if not _is_host(settings.host, host) or settings.port != port:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise errors.SettingsError(
            f"MILLRACE_HTTP: {settings.http} is not the address of the socket that was handed over, {shown}:"
            " say the same in both (ListenStream= of millrace-web.socket)"
        )
    return True


def _is_host(name: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return name == "localhost" and address == "127.0.0.1"

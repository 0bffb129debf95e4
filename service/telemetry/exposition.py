"""Exposition: a process serves its metrics at ``/metrics``, from a thread of its own; workers and clocks tell
of themselves there, too.

It never stops work: where its port is taken it takes the next free one of ten, and with none free the
process goes on without. To be called in the process that counts, after any fork; a process forked
off later closes its copy of the socket.
"""

from __future__ import annotations

import errno
import http
import http.server
import json
import logging
import os
import socket
import socketserver
import sys
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import prometheus_client
from prometheus_client import exposition

from service.settings import Settings
from service.telemetry import metrics

log = logging.getLogger("millrace.metrics")

PORTS = {"web": 9101, "worker": 9102, "clock": 9103}  #: first port by role
#: From one port that is tried to the next: the last digit stays that of the role, so none takes the port at which
#: Prometheus looks for another one.
STEP = 10
TRIES = 10  #: ports that are tried, from the first
LAST = 65535  #: the highest port that there is
PATIENCE = 5.0  #: seconds that a scraper has for each read and write
SCRAPERS = 16  #: answered at once; another one is turned away


#: What a process says about itself: whether it is well, or ready, and the document that tells more.
Page: TypeAlias = Callable[[], tuple[bool, dict[str, Any]]]
#: By path, such as ``/healthz``.
Pages: TypeAlias = Mapping[str, Page]
NONE: Pages = MappingProxyType({})


class Server(socketserver.ThreadingTCPServer):
    """An HTTP server with a thread for each scraper, so that a slow one holds up nobody."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(
        self, host: str, port: int, registry: prometheus_client.CollectorRegistry, pages: Pages = NONE
    ) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        self.registry = registry
        self.pages = pages
        self._free = threading.BoundedSemaphore(SCRAPERS)
        super().__init__((host, port), Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, as long as there are not too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one scraper."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away is no news."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        log.log(level, "A scraper got no answer: %r", error, extra={"action": "metrics.scrape"})


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one scraper."""

    server: Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        """The metrics, what the process says of itself, or 404."""
        path = urllib.parse.urlsplit(self.path).path
        if (page := self.server.pages.get(path)) is not None:
            good, document = page()
            status = http.HTTPStatus.OK if good else http.HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "application/json", json.dumps(document).encode())
            return
        if path != "/metrics":
            self._answer(
                http.HTTPStatus.NOT_FOUND,
                "text/plain; charset=utf-8",
                b"Metrics are at /metrics.\n",
            )
            return
        # Several header lines mean the same as one with commas.
        accept = ",".join(self.headers.get_all("Accept", []))
        encode, content_type = exposition.choose_encoder(accept)
        self._answer(http.HTTPStatus.OK, content_type, encode(self.server.registry))

    def _answer(self, status: http.HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """The Server header: no versions for strangers."""
        return "millrace"

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a line."""


_server: Server | None = None
_pid = 0
_lock = threading.Lock()


def serve(settings: Settings, role: str, pages: Pages = NONE) -> int | None:
    """Serve the metrics of this process and its pages, if it has any; the port, or None if that cannot be.

    A second call in the same process changes nothing.
    """
    global _server, _pid
    with _lock:
        if _pid == os.getpid():
            return _server.port if _server is not None else None
        _watch_forks()
        _pid = os.getpid()
        registry = metrics.install(role).registry
        _server = open_server(settings.metrics_host, settings.metrics_port or PORTS[role], registry, pages)
        return _server.port if _server is not None else None


def stop() -> None:
    """Serve no longer."""
    global _server, _pid
    with _lock:
        server, _server = (_server if _pid == os.getpid() else None), None
        _pid = 0
    if server is not None:
        server.shutdown()
        server.server_close()


def open_server(
    host: str, first: int, registry: prometheus_client.CollectorRegistry, pages: Pages = NONE
) -> Server | None:
    """A server on the first free port of ten, ``STEP`` apart, with its thread; None, and a warning, without."""
    tried = range(first, min(first + STEP * TRIES, LAST + 1), STEP)
    for port in tried:
        try:
            server = Server(host, port, registry, pages)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                _say_none(f"{host}:{port} cannot be used: {error.strerror or error}")
                return None
            continue
        threading.Thread(target=server.serve_forever, name="millrace-metrics", daemon=True).start()
        _say_where(host, first, server.port)
        return server
    _say_none(f"the ports {', '.join(map(str, tried))} are taken")
    return None


def _say_where(host: str, first: int, port: int) -> None:
    place = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
    if first in (port, 0):
        log.info("Metrics are at %s", place, extra={"action": "metrics.served", "port": port})
    else:
        extra = {"action": "metrics.port", "port": port}
        log.warning("Metrics are at %s, because port %d is taken", place, first, extra=extra)


def _say_none(reason: str) -> None:
    log.warning(
        "This process serves no metrics, and goes on: %s",
        reason,
        extra={"action": "metrics.unserved"},
    )


_watching = False


def _watch_forks() -> None:
    global _watching
    if not _watching:
        _watching = True
        os.register_at_fork(after_in_child=_close_in_child)


def _close_in_child() -> None:
    # Else a child that outlives its parent would keep the port, and let scrapers wait for ever.
    global _lock
    _lock = threading.Lock()
    if _server is not None:
        _server.socket.close()

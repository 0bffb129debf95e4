"""`millrace web`: the HTTP server. Any WSGI server may serve ``service.web.wsgi:app`` too, without the express lane."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from service import bootstrap
from service.domain import errors
from service.settings import Settings
from service.telemetry import logging as logs
from service.web import handed

BACKLOG = 1024  #: connections that the kernel keeps for us
STOP_AFTER = 10  #: seconds for requests under way when the server is told to stop
STOPS = (signal.SIGINT, signal.SIGTERM)


def serve(settings: Settings) -> None:
    """Serve until told to stop; raises SettingsError when the address is taken, SchemaNotReady before a migration."""
    logs.take_output(settings)
    is_open = handed.is_open(settings)
    if not is_open:
        _check_address(settings)
    bootstrap.check_or_wait(settings, action="web.waiting")  # Until the ledger is there, posts are answered with 503.
    make = handed.Server if is_open else granian.Granian
    server = make(
        "service.web.wsgi:rsgi",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=settings.web_processes,
        backlog=BACKLOG,
        http=HTTPModes.http1,
        websockets=False,
        log_access=False,
        log_level=LogLevels.error,
        log_dictconfig=logs.granian_config(),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_AFTER,
    )
    server.on_startup(_obey_the_first_signal)
    server.serve(target_loader=_load, wrap_loader=False)


def _obey_the_first_signal() -> None:
    """Stop at the first signal, and be deaf to those that follow it.

    granian's handler sets a ``threading.Event``. Python calls handlers in the middle of anything, of a handler too: the
    second of two signals in a row may find the Event's lock held by the first, and wait for itself for ever.
    """
    granians: Any = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        for other in STOPS:
            signal.signal(other, signal.SIG_IGN)
        granians(number, frame)

    for number in STOPS:
        signal.signal(number, stop)


def _load() -> Any:
    """The application, in a process that granian has forked to serve it."""
    # Until it serves, a signal would meet the handler that it has inherited, which means nothing here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Ctrl-C comes to the parent too, which passes it on as SIGTERM. Of three signals granian's handler stands still.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, name="millrace-parent", daemon=True).start()
    from service.web import wsgi

    return wsgi.rsgi


def _end_with_parent() -> None:
    """Stop when the parent was killed: the port would be held, and nothing could be started again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def when_told_to_stop(action: Callable[[], None]) -> None:
    """Call ``action`` in a thread when this process is told to end, whoever handles the signal then.

    A server lets requests under way end by themselves, and some of them wait for an outcome. Its own handler of the
    signal is set later than this and is not ours to replace; the file descriptor that Python wakes is told beside it.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    try:
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    except ValueError:
        return  # A server that loads applications in other threads sees to its requests itself.

    def listen() -> None:
        with writer:  # It must live as long as this thread.
            while signals := reader.recv(64):
                if before >= 0:
                    os.write(before, signals)
                if {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT} & set(signals):
                    action()

    threading.Thread(target=listen, name="millrace-stop", daemon=True).start()


def _check_address(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise errors.SettingsError(
                f"MILLRACE_HTTP: {settings.http} cannot be listened on: {error.strerror or error}"
                " (is another Millrace running? MILLRACE_HTTP=127.0.0.1:5001 takes another port)"
            ) from None

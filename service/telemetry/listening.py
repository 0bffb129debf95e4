"""What listens to signals beside the business code: nothing in it is raised into who sends them."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any

import blinker

from service import signals


class Listener:
    """Each method ``on_…`` of a subclass listens to the signal of that name, in the process that has made it.

    In a process that was forked off it is silent, because what it gathers would end there.
    """

    def __init__(self, log: logging.Logger, failure: str, action: str) -> None:
        """``failure``, ``action``: what is logged when a method raises."""
        self.pid = os.getpid()
        self._log, self._failure, self._action = log, failure, action
        self._listeners: list[tuple[blinker.Signal, Callable[..., Any]]] = []

    def listen(self) -> None:
        """Begin to listen to the signals."""
        for name, signal in vars(signals).items():
            method = getattr(self, f"on_{name}", None)
            if isinstance(signal, blinker.Signal) and method is not None:
                listener = self._quietly(method)
                signal.connect(listener, weak=False)
                self._listeners.append((signal, listener))

    def close(self) -> None:
        """Stop listening."""
        while self._listeners:
            signal, listener = self._listeners.pop()
            signal.disconnect(listener)

    def _quietly(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method as a listener that never raises, and is silent in a process forked off."""
        failed = False

        @functools.wraps(method)
        def listener(_sender: Any, **given: Any) -> Any:
            nonlocal failed
            if os.getpid() != self.pid:
                # A lock that another thread held at the fork is held for ever here: touch nothing.
                return None
            try:
                return method(**given)
            except Exception:
                if not failed:  # Once is enough to know.
                    failed = True
                    self._log.exception(self._failure, extra={"action": self._action})
                return None

        return listener

"""One question for all who come while it is asked; where it fails, it fails for all of them.

With a plain lock each of them would ask again, one after the other, and wait as long as the first one: of a ledger that
does not answer, the last of thirty threads would be told after a minute and a half.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from service.domain import errors


class Turn:
    """A lock, to be held around the question.

    Who waited to enter it gets the LedgerUnavailable that another one met meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed = float("-inf")
        self._error: errors.LedgerUnavailable | None = None

    def __enter__(self) -> None:
        came = time.monotonic()
        self._lock.acquire()
        if self._error is not None and self._failed > came:
            self._lock.release()
            raise self._error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, errors.LedgerUnavailable):
            self._failed, self._error = time.monotonic(), error
        self._lock.release()

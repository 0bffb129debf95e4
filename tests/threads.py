"""Threads of a test that last as long as a block."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

Work = Callable[[threading.Event], None]  #: is given what is set when the block is over


@contextlib.contextmanager
def beside(works: Iterable[Work]) -> Iterator[None]:
    """Each of these works in a thread of its own while the block lasts, and has ended after it."""
    over = threading.Event()
    threads = [threading.Thread(target=work, args=(over,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()

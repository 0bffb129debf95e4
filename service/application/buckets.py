"""Rate limits: token buckets, one for each who asks, in the memory of one process."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 10_000  #: buckets that are kept; those that were used longest ago go first, and they are full by then, mostly
BURST = 2.0  #: seconds' worth of requests that may come at once


class Buckets:
    """Limits each of those who ask to ``rate`` requests per second, and ``burst`` at once. Used by many threads."""

    def __init__(
        self, rate: float, burst: float | None = None, *, name: str = "key", now: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.burst = max(1.0, rate * BURST if burst is None else burst)
        self.name = name  #: of the policy, as clients are told
        self._now = now
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # Who → (level, at).

    def take(self, who: str, cost: float = 1.0) -> bool:
        """Whether one more request may come now; it is counted then."""
        with self._lock:
            level, now = self._level(who)
            if level < cost:
                return False
            self._levels[who] = (level - cost, now)
            self._levels.move_to_end(who)
            while len(self._levels) > MOST:
                self._levels.popitem(last=False)
            return True

    def has(self, who: str, cost: float = 1.0) -> bool:
        """Whether one more might come; nothing is counted."""
        with self._lock:
            return self._level(who)[0] >= cost

    def left(self, who: str) -> int:
        """How many requests may come at once now."""
        with self._lock:
            return int(self._level(who)[0])

    def wait(self, who: str, cost: float = 1.0) -> int:
        """Seconds, in whole, until one more may come."""
        with self._lock:
            return max(1, math.ceil((cost - self._level(who)[0]) / self.rate))

    def give(self, who: str, cost: float = 1.0) -> None:
        """Give back what was taken."""
        with self._lock:
            level, now = self._level(who)
            self._levels[who] = (min(self.burst, level + cost), now)

    def fill(self, who: str) -> None:
        """Forget what was counted."""
        with self._lock:
            self._levels.pop(who, None)

    def headers(self, who: str) -> dict[str, str]:
        """What clients are told (draft-ietf-httpapi-ratelimit-headers-10)."""
        window = max(1, math.ceil(self.burst / self.rate))
        left = self.left(who)
        return {
            "RateLimit-Policy": f'"{self.name}";q={int(self.burst)};w={window}',
            "RateLimit": f'"{self.name}";r={left};t={self.wait(who) if left < 1 else 0}',
        }

    def _level(self, who: str) -> tuple[float, float]:
        now = self._now()
        level, at = self._levels.get(who, (self.burst, now))
        return min(self.burst, level + (now - at) * self.rate), now

"""How long to wait before another attempt."""

from __future__ import annotations

import dataclasses
import random


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: a random time up to ``min(cap, base * 2**n)``.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    base: float = 5.0  #: seconds
    cap: float = 3600.0  #: seconds

    def delay(self, failures: int, rng: random.Random | None = None) -> float:
        """Seconds to wait after ``failures`` failed attempts (1 or more)."""
        # The exponent is bounded, or 2**n would leave the range of a float long before the cap could help.
        ceiling = min(self.cap, self.base * 2.0 ** min(max(failures - 1, 0), 64))
        return (rng or random).uniform(0.0, ceiling)

"""What can go wrong with a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """The measurement cannot go on. The message says why, in a sentence for the person who ran it."""

"""The jobs that a number can have, and the words for how far a job is.

A word goes ``sum`` -> ``sum_Done``. ``sum_Doing`` may be written by a program outside that takes a
job over with ``POST /update_request``; our own work is one transaction, in which nobody sees a job
half done.
"""

from __future__ import annotations

import enum
from typing import Any


class Job(enum.StrEnum):
    """What is to be done with a number; as a word: open, waiting for the next minute."""

    SUM = "sum"  #: add 2
    MUL = "mul"  #: multiply by 2

    @property
    def doing(self) -> str:
        """The word for a job that someone outside is working on."""
        return f"{self}_Doing"

    @property
    def done(self) -> str:
        """The word for a job whose result is kept beside the number."""
        return f"{self}_Done"

    def result(self, value: Any) -> Any:
        """What the job makes of ``value``: a number, or a column of numbers."""
        return value + 2 if self is Job.SUM else value * 2


#: Every word that may stand beside a number.
WORDS = tuple(word for job in Job for word in (str(job), job.doing, job.done))

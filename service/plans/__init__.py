"""Plans: which instants a schedule has. Time is an argument; nothing here asks a clock or the ledger.

A plan is one of three: ``Cron``, ``Interval``, ``At``. As JSON it is its ``spec()``, and ``read`` takes that back.
Cron expressions are our own: cronsim, which is right about local time and is the tests' oracle for it, maps it to
instants by fixed rules, and not everywhere rightly (``tests/unit/test_daylight_saving.py`` shows where).
"""

from service.plans.at import At
from service.plans.base import Plan
from service.plans.cron import Cron
from service.plans.interval import Interval
from service.plans.reading import read

__all__ = ["At", "Cron", "Interval", "Plan", "read"]

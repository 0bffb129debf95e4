"""Schedules that the code declares no more.

What a clock's own apps do not declare any more is *retired* when it starts: what was due of it is fired, what was held
is closed, and it stands nowhere any more. What no living clock declares, because its app was dropped altogether, is
retired after a while, too; but perhaps its clocks are only away. So it keeps where it stands, and goes on from there if
it is declared again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy

from service.domain import signs, slots
from service.ledger import courses, ending, fence, firing
from service.ledger import engine as engines

log = logging.getLogger("millrace.clock")

BATCH = 250  #: schedules in one transaction
ABSENT = 900.0  #: seconds without a living clock that declares it, after which a schedule counts as dropped

# In one order for all clocks. `for no key update` waits for who fires one of them.
LEAVING = f"""
select {courses.COLUMNS}, s.next_due, s.paused_at is not null as paused, false as retired, clock_timestamp() as now
from millrace.schedules s
where s.origin = 'code' and s.retired_at is null and s.app = any(%s) and s.name <> all(%s)
order by s.name limit {BATCH}
for no key update of s
"""

RETIRE = """
update millrace.schedules
set retired_at = %(now)s, retired_by = %(by)s, next_due = null, planned = null, revision = revision + 1
where name = any(%(names)s)
"""

# Nobody has retired it (`retired_by`): it was dropped, or its clocks are away.
RETIRE_ABSENT = f"""
update millrace.schedules s
set retired_at = clock_timestamp(), retired_by = null, revision = revision + 1, next_due = null,
    planned = case when held is null then coalesce(planned, next_due) else planned end
where s.name in (
    select s.name from millrace.schedules s
    where s.origin = 'code' and s.retired_at is null and not exists (
        select from millrace.clocks k join millrace.calendars c on c.calendar = k.calendar and c.schedule = s.name
        where k.seen_at > clock_timestamp() - interval '{ABSENT} seconds')
    order by s.name limit {BATCH} for no key update of s)
returning s.name
"""

REVIVE = """
update millrace.schedules s
set retired_at = null, revision = revision + 1, next_due = case when paused_at is null then clock_timestamp() end
where s.name in (
    select name from millrace.schedules
    where name = any(%s) and origin = 'code' and retired_at is not null and retired_by is null
      and (planned is not null or held is not null)
    order by name for no key update)
"""

# By a version of the code that is gone, or by nobody: the clocks that declare it go on with it.
WRONGLY = f"""
select s.name from millrace.schedules s join millrace.calendars c on c.calendar = %(calendar)s and c.schedule = s.name
where s.retired_at is not null and (s.retired_by is null or (
    %(judge)s and s.retired_at < now() - interval '{signs.GONE} seconds' and not exists (
        select from millrace.clocks k
        where k.calendar = s.retired_by and k.seen_at > now() - interval '{signs.GONE} seconds')))
"""


def retire(
    engine: engines.Engine,
    fires: firing.Firing,
    *,
    apps: Sequence[str],
    names: Sequence[str],
    by: str,
    handles: Callable[[str], bool],
) -> None:
    """Retire what these apps declare no more: all but these names.

    ``by``: the calendar that says so. What is due of a type that nobody ``handles`` any more is skipped.
    """
    while True:
        with fence.transaction(engine) as connection:
            rows = connection.exec_driver_sql(LEAVING, (list(apps), list(names))).all()
            if not rows:
                return
            now = max(row.now for row in rows)
            left = ending.settle(connection, fires, [r for r in rows if r.paused or handles(r.type)], now)
            unhandled = [r for r in rows if not (r.paused or handles(r.type))]
            left += ending.skip(connection, fires, unhandled, now, slots.Reason.ENDED)
            gone = [row.name for row in rows if row.name not in left]
            ending.close_held(connection, gone, by=fires.by)
            connection.exec_driver_sql(RETIRE, {"names": gone, "by": by, "now": now})
        _tell(gone, "the code declares it no more")


def retire_absent(engine: engines.Engine) -> None:
    """Retire what no living clock has declared for a while. To be asked for by a clock that may say who is gone."""
    number = BATCH
    while number == BATCH:
        with fence.transaction(engine) as connection:
            gone = [row[0] for row in connection.exec_driver_sql(RETIRE_ABSENT)]
        _tell(gone, "no clock declares it any more (is its app in MILLRACE_APPS?)")
        number = len(gone)


def revive(connection: sqlalchemy.Connection, names: Sequence[str]) -> None:
    """Those of these schedules that were retired because no clock declared them go on where they stood."""
    connection.exec_driver_sql(REVIVE, (list(names),))


def wrongly(connection: sqlalchemy.Connection, calendar: str, *, judge: bool) -> list[str]:
    """The retired schedules that this calendar declares; with ``judge`` also those of others who are gone."""
    return [row[0] for row in connection.exec_driver_sql(WRONGLY, {"calendar": calendar, "judge": judge})]


def _tell(names: Iterable[str], why: str) -> None:
    for name in names:
        log.info("The schedule %s is retired: %s", name, why, extra={"action": "clock.retired"})

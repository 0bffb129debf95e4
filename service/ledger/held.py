"""Held slots: each waits until no event of its schedule is open any more. Looking costs no write."""

from __future__ import annotations

import sqlalchemy

PIECE = 500  #: schedules that are looked at in one go

# Whoever fires looks closely. Here the first slots are enough: the open event that is waited for is the first of them.
WAKE = f"""
with looked as (
    select name from millrace.schedules
    where held is not null and name > %(after)s and paused_at is null and retired_at is null
    order by name limit {PIECE}),
free as (
    select s.name from millrace.schedules s join looked using (name)
    where (s.next_due is null or s.next_due > clock_timestamp()) and not exists (
        select from (select event_id from millrace.slots
                     where schedule = s.name and due_at >= s.open_since order by due_at limit 1000) w
        cross join lateral (select state from millrace.events where id = w.event_id limit 1) e
        where e.state in ('pending', 'running'))
    order by s.name for no key update of s skip locked),
woken as (
    update millrace.schedules s set next_due = clock_timestamp() from free where s.name = free.name)
select max(name), count(*)::int from looked
"""


def wake(connection: sqlalchemy.Connection, after: str = "") -> str:
    """Have held slots be due that need wait no more, of the schedules after this name; after which one to go on."""
    last, number = connection.exec_driver_sql(WAKE, {"after": after}).one()
    return str(last) if number == PIECE else ""

"""Schedules with policies, declared or made at run time; why a slot was skipped; the clocks, and what they declare.

Nothing is taken away: clocks of the version before fire on, what they do not know has its default.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
phase = "pre"

# `next_due` stays what a clock waits for. Where the slot's planned instant is another one, it is in `planned`.
# The digest tells versions of a schedule apart, without sending the whole of it.
SCHEDULES = """
alter table millrace.schedules
    add column origin     text not null default 'code' check (origin in ('code', 'api')),
    add column app        text,                          -- of a declared one: the app that it is declared in
    add column planned    timestamptz,                   -- the planned instant, where next_due is not
    add column held       timestamptz,                   -- the instant that waits for an open event to end
    add column open_since timestamptz not null default '-infinity',  -- no slot before it has an open event
    add column runs       integer not null default 0,    -- instants that became events
    add column revision   integer not null default 1,    -- one more with every change by people or code
    add column changed_by text,
    add column retired_by text,                          -- the calendar that has it no more
    add column digest     text generated always as (md5(spec::text)) stored
"""

SLOTS = """
alter table millrace.slots
    add column reason text,                              -- of a skipped or held one: overlap, paused, misfire, expired
    add column late   double precision                   -- seconds from when it was to be fired to when it was
"""

CLOCKS = """
create table millrace.clocks (
    name        text primary key,                        -- host and process
    calendar    text not null,
    started_at  timestamptz not null default now(),
    seen_at     timestamptz not null default now()
);
create table millrace.calendars (                        -- what each version of the code declares
    calendar    text not null,
    schedule    text not null,
    digest      text not null,
    primary key (calendar, schedule)
);
create index schedules_retired on millrace.schedules (name) where retired_at is not null;
"""


def upgrade() -> None:
    for statement in (SCHEDULES, SLOTS, CLOCKS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table millrace.clocks, millrace.calendars")
    op.execute("drop index millrace.schedules_retired")
    op.execute("alter table millrace.slots drop column reason, drop column late")
    op.execute(
        "alter table millrace.schedules drop column origin, drop column app, drop column planned, drop column held,"
        " drop column open_since, drop column runs, drop column revision, drop column changed_by,"
        " drop column retired_by, drop column digest"
    )

"""Retention: the days that it has been at, two functions that do what only the owner can, and duties with results."""

from alembic import op

revision = "0009"
down_revision = "0008"
phase = "pre"

# A day that is gone stays here, so that a reader of an old id can be told what became of it.
RETENTION = """
create table millrace.retention (
    day         date primary key,
    thinned_at  timestamptz,                             -- what was over is gone; its partition is there, and small
    removed_at  timestamptz,                             -- its partition is gone
    removed     bigint not null default 0,               -- events that are gone
    kept        integer not null default 0,              -- events that were kept, when it was looked at last
    swept_at    timestamptz                              -- what stood beside its events in other tables is gone, too
)
"""

# The other way round than `day_floor`: the day, in UTC, in an id of version 7.
DAY_OF = """
create function millrace.day_of(id uuid) returns date language sql immutable as $$
    select (to_timestamp(('x' || lpad(replace(left(id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
            at time zone 'UTC')::date
$$
"""

# Whoever asked for a duty reads its result. A long one is held by a name in its row, for it is many transactions.
DUTIES = """
alter table millrace.duties
    add column held_by    text,
    add column held_until timestamptz,
    add column result     jsonb;
insert into millrace.duties (name, done_at) values ('retention', now()) on conflict do nothing
"""

# What must be kept was found before, without any lock. Here it is looked at in another way: by tickets and letters.
# The keys that are given can only be too many, for what has ended does not open again.
CHECK = """
create function millrace.check_day(which date, kept uuid[]) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
    if which >= (clock_timestamp() at time zone 'UTC')::date - 1 then
        raise exception 'the day % is too young to be removed', which;
    end if;
    if exists (
        select from millrace.dead d
        where d.event_id >= millrace.day_floor(which) and d.event_id < millrace.day_floor(which + 1)
          and d.replayed_as is null and d.discarded_at is null and d.event_id <> all(kept)
    ) or exists (
        select from millrace.tickets t cross join unnest(t.event_ids) as u (id)
        join millrace.events e on e.id = u.id
        where u.id >= millrace.day_floor(which) and u.id < millrace.day_floor(which + 1)
          and e.id >= millrace.day_floor(which) and e.id < millrace.day_floor(which + 1)
          and e.state in ('pending', 'running') and u.id <> all(kept)
    ) then
        raise exception 'the day % has open events or dead letters that are not among those to be kept', which;
    end if;
end
$$
"""

# To detach is exclusive: whoever uses `events` is waited for, and whoever comes meanwhile waits, so it is not waited
# for long. (`concurrently` cannot be had beside a default partition, nor in a transaction.)
REMOVE = """
create function millrace.remove_day(which date, kept uuid[], seen bigint) returns integer language plpgsql
security definer set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    name text := 'events_' || to_char(which, 'YYYYMMDD');
    moved integer;
begin
    perform millrace.check_day(which, kept);
    execute format('alter table millrace.events detach partition millrace.%I', name);
    execute format('insert into millrace.events_default select * from millrace.%I where id = any($1)', name)
        using kept;
    get diagnostics moved = row_count;
    execute format('drop table millrace.%I', name);
    insert into millrace.retention as r (day, removed_at, removed, kept)
    values (which, clock_timestamp(), seen - moved, moved)
    on conflict (day) do update
    set removed_at = excluded.removed_at, removed = r.removed + excluded.removed, kept = excluded.kept, swept_at = null;
    return moved;
end
$$
"""

# The same without `events` itself: who has nothing to do with that day waits for nothing.
THIN = """
create function millrace.thin_day(which date, kept uuid[], seen bigint) returns integer language plpgsql
security definer set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    name text := 'events_' || to_char(which, 'YYYYMMDD');
    left_over integer;
begin
    perform millrace.check_day(which, kept);
    execute format('lock table millrace.%I in access exclusive mode', name);
    execute format('create table millrace.events_thinned as select * from millrace.%I where id = any($1)', name)
        using kept;
    execute format('truncate millrace.%I', name);
    execute format('insert into millrace.%I select * from millrace.events_thinned', name);
    get diagnostics left_over = row_count;
    drop table millrace.events_thinned;
    insert into millrace.retention as r (day, thinned_at, removed, kept)
    values (which, clock_timestamp(), seen - left_over, left_over)
    on conflict (day) do update
    set thinned_at = excluded.thinned_at, removed = r.removed + excluded.removed, kept = excluded.kept, swept_at = null;
    return left_over;
end
$$
"""

NOBODY = """
revoke execute on function millrace.check_day(date, uuid[]), millrace.remove_day(date, uuid[], bigint),
    millrace.thin_day(date, uuid[], bigint) from public
"""

# The history of a schedule goes, too; before this instant nobody knows any more what was fired.
SLOTS = "alter table millrace.schedules add column slots_since timestamptz"


def upgrade() -> None:
    for statement in (RETENTION, DAY_OF, DUTIES, CHECK, REMOVE, THIN, NOBODY, SLOTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("alter table millrace.schedules drop column slots_since")
    op.execute(
        "drop function millrace.remove_day(date, uuid[], bigint), millrace.thin_day(date, uuid[], bigint),"
        " millrace.check_day(date, uuid[]), millrace.day_of(uuid)"
    )
    op.execute("delete from millrace.duties where name = 'retention'")
    op.execute("alter table millrace.duties drop column held_by, drop column held_until, drop column result")
    op.execute("drop table millrace.retention")

"""The ledger: events, tickets, their side tables, schedules and slots."""

from alembic import op

revision = "0001"
down_revision = None
phase = "pre"

# Partitioned by day through the time in the id, so that old days are dropped and not deleted. No index names the
# state, in a predicate either: every outcome is then a HOT update, which touches no index. Open events are found
# through their ticket, dead ones through a side table.
EVENTS = """
create table millrace.events (
    id          uuid not null,                       -- version 7, time from the ledger's clock
    type        text not null,
    state       text not null default 'pending'
                check (state in ('pending', 'running', 'succeeded', 'dead', 'cancelled', 'expired')),
    ticket_id   uuid,                                -- the ticket that covers it while it is open
    payload     jsonb not null,
    attempt     smallint not null default 0,         -- how many attempts were used
    crashes     smallint not null default 0,         -- how often its worker was lost; cleared by success
    accepted_at timestamptz not null default now(),
    run_at      timestamptz,                         -- not before; set by a retry too
    expires_at  timestamptz,
    finished_at timestamptz,
    result      jsonb,
    error       jsonb,                               -- of the last failed attempt: {error, message}
    producer    text,
    request_id  text,
    traceparent text,
    attributes  jsonb,                               -- of a CloudEvent
    schedule    text,                                -- of a tick
    slot_at     timestamptz,
    lease_until timestamptz,                         -- of a detached handler
    progress    jsonb,
    cancel_at   timestamptz,                         -- when someone asked a running one to stop
    replay_of   uuid,
    replayed_as uuid,                                -- set once
    primary key (id)
) partition by range (id)
"""

# For lists by type, newest first. Its columns never change, so it costs the outcome nothing.
EVENTS_INDEX = "create index events_by_type on millrace.events (type, id)"

TICKETS = """
create table millrace.tickets (
    id           uuid primary key,
    type         text not null,
    queue        text not null,
    exchange     text not null,
    routing_key  text not null,
    event_ids    uuid[] not null check (cardinality(event_ids) > 0),
    due_at       timestamptz not null default now(), -- look again at this instant
    published_at timestamptz,                        -- null: not out
    publishes    smallint not null default 0,
    returns      smallint not null default 0,        -- how often it came back through the dead queue
    revision     integer not null default 0,         -- one more with every change by a worker
    careful      boolean not null default false
) with (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.0
)
"""

TICKETS_DUE = "create index tickets_due on millrace.tickets (type, queue, due_at) where published_at is null"
TICKETS_OUT = "create index tickets_out on millrace.tickets (queue, published_at) where published_at is not null"

REST = """
create table millrace.attempts (                     -- every failed attempt; crashes are not attempts
    event_id    uuid not null,
    attempt     smallint not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null,
    worker      text not null,
    error       text not null,
    message     text not null,
    traceback   text,
    primary key (event_id, attempt)
);
create table millrace.dead (                         -- the dead letters among the events
    event_id    uuid primary key,
    type        text not null,
    reason      text not null,
    died_at     timestamptz not null default now(),
    replayed_as uuid,
    replayed_by text
);
create index dead_by_type on millrace.dead (type, died_at, event_id);
create index dead_by_time on millrace.dead (died_at, event_id);
create table millrace.strays (                       -- messages on our queues that are not ours
    id          uuid primary key default gen_random_uuid(),
    filed_at    timestamptz not null default now(),
    queue       text not null,
    reason      text not null,
    properties  jsonb not null,
    headers     jsonb not null,
    body        bytea not null
);
create table millrace.idempotency_keys (
    scope       text not null,
    key         text not null,
    fingerprint text not null,
    event_id    uuid not null,
    created_at  timestamptz not null default now(),
    primary key (scope, key)
);
create index idempotency_keys_by_age on millrace.idempotency_keys using brin (created_at);
create table millrace.types (                        -- what is decided about a type at run time
    name        text primary key,
    paused_at   timestamptz,
    paused_by   text,
    out_events  integer not null default 0,          -- published and not worked, as the clock counted last
    counted_at  timestamptz
);
create table millrace.queues (                       -- likewise about a queue
    name        text primary key,
    paused_at   timestamptz,
    paused_by   text
);
create table millrace.tallies (                      -- insert-only: no row is a hot spot
    minute      timestamptz not null,
    type        text not null,
    word        text not null,                       -- accepted, done, retry, dead, ...
    n           integer not null,
    queue       text,
    mark        timestamptz                          -- when the worked ticket was published (queues are FIFO)
);
create index tallies_by_minute on millrace.tallies (minute);
create index tallies_by_mark on millrace.tallies (queue, mark) where mark is not null;
create table millrace.schedules (
    name        text primary key,
    type        text not null,
    spec        jsonb not null,                      -- plan and payload, as declared
    next_due    timestamptz,                         -- null: never again
    paused_at   timestamptz,
    paused_by   text,
    retired_at  timestamptz,
    declared_at timestamptz not null default now()
);
create index schedules_due on millrace.schedules (next_due);
create table millrace.slots (                        -- a planned instant and its outcome, once
    schedule    text not null,
    due_at      timestamptz not null,
    outcome     text not null,                       -- fired, skipped, caught up
    event_id    uuid,
    fired_at    timestamptz not null default now(),
    clock       text not null,
    missed      integer not null default 0,          -- instants before it that nobody fired; of cron 1000 or more
    primary key (schedule, due_at)
);
create table millrace.duties (                       -- upkeep that one clock does for all
    name        text primary key,
    done_at     timestamptz not null default '-infinity'
);
insert into millrace.duties (name) values ('partitions'), ('windows'), ('tallies'), ('keys');
"""

# The days of a partition are cut in UTC. The bound is the smallest UUID of version 7 of that instant.
PARTITIONS = """
create function millrace.day_floor(day date) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from day::timestamp at time zone 'UTC') * 1000)::bigint), 12, '0')
        || '00000000000000000000')::uuid
$$;
create table millrace.events_default partition of millrace.events default;
create function millrace.make_partitions(ahead integer) returns integer language plpgsql
set lock_timeout = '500ms' as $$
declare
    day date;
    name text;
    made integer := 0;
begin
    for day in select generate_series(0, ahead) + (clock_timestamp() at time zone 'UTC')::date - 1 loop
        name := 'events_' || to_char(day, 'YYYYMMDD');
        -- A day that the default partition has rows of stays there; `millrace doctor` tells of it.
        if to_regclass('millrace.' || name) is null and not exists (
            select from millrace.events_default
            where id >= millrace.day_floor(day) and id < millrace.day_floor(day + 1)
        ) then
            -- Attached, and not created as a partition: that would wait for every open transaction on `events`, and
            -- the road would wait behind it.
            execute format('create table millrace.%I (like millrace.events including all)'
                           ' with (fillfactor = 50)', name);
            execute format('alter table millrace.events attach partition millrace.%I for values from (%L) to (%L)',
                           name, millrace.day_floor(day), millrace.day_floor(day + 1));
            made := made + 1;
        end if;
    end loop;
    return made;
end
$$;
select millrace.make_partitions(15);
"""

# A generic plan cannot know which partition the ids are in. A transaction that its worker left open is ended: that is
# the fence against a frozen or vanished worker (each transaction of a worker sets its own, shorter limit).
ROLE = """
do $$ begin
    execute format('alter role %I in database %I set plan_cache_mode = force_custom_plan',
                   current_user, current_database());
    execute format('alter role %I in database %I set idle_in_transaction_session_timeout = %L',
                   current_user, current_database(), '10min');
end $$
"""


def upgrade() -> None:
    for statement in (EVENTS, EVENTS_INDEX, TICKETS, TICKETS_DUE, TICKETS_OUT, REST, PARTITIONS, ROLE):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop schema millrace cascade")

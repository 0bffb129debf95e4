"""A ledger with a month in it: so many events over thirty daily partitions, and all that stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import psycopg2

from service.ledger import migrate

DAYS = 30
TYPES = 20
OPEN = 2_000  #: open events, however many there are in all: half of their tickets are out
SCHEDULES = 100
LETTERS = 100  #: every so manyth event is a dead letter; every second of these was replayed
#: Dead letters at the least: more than any page looks at, so that a small ledger is as full as a large one for it.
FEWEST_LETTERS = 2_500

PARTITION = """
do $$ declare
    day date := (clock_timestamp() at time zone 'UTC')::date - {ago};
    name text := 'events_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass('millrace.' || name) is null then
        execute format('create table millrace.%I (like millrace.events including all) with (fillfactor = 50)', name);
        execute format('alter table millrace.events attach partition millrace.%I for values from (%L) to (%L)', name,
                       millrace.day_floor(day), millrace.day_floor(day + 1));
    end if;
end $$
"""

# Spread evenly over the day; over what there was of it, if it is today.
EVENTS = f"""
with day as (
    select date_trunc('day', clock_timestamp()) - {{ago}} * interval '1 day' as begin),
span as (
    select begin, extract(epoch from least(begin + interval '1 day', clock_timestamp()) - begin) as seconds from day)
insert into millrace.events (id, type, state, payload, attempt, accepted_at, finished_at, producer, request_id,
                             replayed_as, error)
select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8'
        || lpad(to_hex(n), 15, '0'))::uuid,
       'a.t' || n % {TYPES}, case when n % {{letters}} = 0 then 'dead' else 'succeeded' end,
       jsonb_build_object('order', n, 'note', repeat(md5(n::text), 6)), 1, at, at, 'shop', md5(n::text),
       case when n % (2 * {{letters}}) = 0 then gen_random_uuid() end,
       case when n % {{letters}} = 0 then '{{{{"error": "KeyError", "message": "weight"}}}}'::jsonb end
from span, generate_series(1, {{number}}) n, lateral (
    select begin + make_interval(secs => seconds * n / ({{number}} + 1)) as at) instant
"""

BESIDE = f"""
insert into millrace.dead (event_id, type, reason, died_at, replayed_as)
select id, type, 'failed', finished_at, replayed_as from millrace.events where state = 'dead';
insert into millrace.attempts (event_id, attempt, started_at, finished_at, worker, error, message)
select event_id, 1, died_at, died_at, 'x:1', 'KeyError', 'weight' from millrace.dead;
insert into millrace.tallies (minute, type, word, n, queue, mark, seconds)
select date_trunc('minute', now()) - make_interval(mins => n % 2880), 'a.t' || n % {TYPES},
       (array['accepted', 'done'])[1 + n % 2], 5, 'events', now() - make_interval(mins => n % 2880), 0.01
from generate_series(1, {{events}} / 75) n;
insert into millrace.tallies (minute, type, word, n)
select date_trunc('day', now()) - make_interval(days => day), 'a.t' || type, word, {{events}} / {DAYS * TYPES}
from generate_series(2, {DAYS}) day, generate_series(0, {TYPES - 1}) type, unnest('{{{{accepted,done}}}}'::text[]) word;
insert into millrace.schedules (name, type, spec, origin, next_due)
select 's.' || n, 'a.t1',
       '{{{{"type": "a.t1", "plan": {{{{"cron": "0 3 * * *", "tz": "Europe/Berlin"}}}}, "payload": {{{{}}}}}}}}', 'api',
       now() + make_interval(hours => n)
from generate_series(1, {SCHEDULES}) n;
insert into millrace.slots (schedule, due_at, outcome, clock, event_id)
select 's.' || n % {SCHEDULES} + 1, now() - make_interval(mins => n / {SCHEDULES} + 1), 'fired', 'x:1',
       gen_random_uuid()
from generate_series(1, greatest(10000, {{events}} / 10)) n;
insert into millrace.idempotency_keys (scope, key, fingerprint, event_id, created_at)
select 'shop', md5(n::text), md5(n::text), gen_random_uuid(), now() - make_interval(secs => 86400.0 * n / {{events}})
from generate_series(1, {{events}} / {DAYS}) n;
"""

OPENED = f"""
with event as (
    insert into millrace.events (id, type, ticket_id, payload, producer)
    select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || lpad(to_hex(n % 4096), 3, '0') || '9' || lpad(to_hex(n), 15, '0'))::uuid,
           'a.t' || n % {TYPES}, gen_random_uuid(), '{{}}', 'shop' from generate_series(1, {OPEN}) n
    returning id, type, ticket_id),
tally as (
    insert into millrace.tallies (minute, type, word, n)
    select date_trunc('minute', now()), type, 'accepted', count(*) from event group by type)
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at, published_at)
select ticket_id, type, 'events', 'millrace.events', 'event.' || type, array[id],
       now() + case when n % 2 = 0 then interval '5 min' else interval '1 hour' end, case when n % 2 = 0 then now() end
from (select *, row_number() over (order by id) as n from event) e
"""


def fill(address: str, events: int, tell: Callable[[int], None]) -> None:
    """Make a ledger of so many events at this address; ``tell`` is called with the events of each day."""
    migrate.migrate(address)
    letters = min(LETTERS, max(1, events // FEWEST_LETTERS))
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("set synchronous_commit = off")
            for ago in reversed(range(DAYS)):
                cursor.execute(PARTITION.format(ago=ago))
                cursor.execute(EVENTS.format(ago=ago, number=events // DAYS, letters=letters))
                tell(events // DAYS)
            for statement in (*BESIDE.format(events=events).split(";\n"), OPENED):
                if statement.strip():
                    cursor.execute(statement)
            # As the server itself does it in time.
            cursor.execute("vacuum (analyze)")
            cursor.execute("checkpoint")

"""What the clocks count once a second of what is out: whose window is full, and how long it will take.

The doors read it with every flush (``intake.STATE``). How long is told by the paces of types and the places of live
workers, so it is about right where handlers take their time; where there is no pace or nobody to work, it is null.
"""

from __future__ import annotations

from service.domain.processes import LIVE

# What is counted once a second must last for longer than that.
WORK_OUT = 3  #: seconds of work of a type that are with the broker, for each hand that works it
LEAST_OUT = 2  #: events likewise, however long one takes
COUNTED = 1_000  #: tickets that wait behind a full window are counted up to here; nobody knows how long more will take

# Rows are taken in order of their names, as by whoever publishes, and those of queues first, as by whoever resumes one,
# so that they do not wait for each other in a circle. What reads how many queues were written comes after them.
COUNT_OUT = f"""
with out as (
    select type, queue, sum(cardinality(event_ids))::int as n from millrace.tickets
    where published_at is not null group by type, queue),
workers as (
    select queues, types, slots from millrace.processes
    where kind = 'worker' and seen_at > clock_timestamp() - interval '{LIVE} seconds'),

queues as (
    select q.name, case when not coalesce(bool_or(t.pace is null) filter (where o.n is not null), false)
                        then round((coalesce(sum(o.n * t.pace), 0) / nullif(q.hands, 0))::numeric, 1)::real end as wait
    from (select w.queue as name, sum(slots) as hands from workers, unnest(queues) as w (queue) group by 1) q
    left join out o on o.queue = q.name left join millrace.types t on t.name = o.type
    group by q.name, q.hands),
counted_queues as (
    insert into millrace.queues (name, wait)
    select coalesce(n.name, q.name), n.wait from queues n full join millrace.queues q on q.name = n.name
    where n.wait is distinct from q.wait
    order by 1
    on conflict (name) do update set wait = excluded.wait
    returning name),

counted as (select type, min(queue) as queue, sum(n)::int as n from out group by type),
types as (
    select coalesce(c.type, t.name) as name, coalesce(c.n, 0) as out_events, t.pace, h.hands,
           case when h.hands is not null
                then least(1e9, h.hands * greatest({LEAST_OUT}, {WORK_OUT} / greatest(t.pace, 1e-6)))::int
           end as most_out
    from counted c full join millrace.types t on t.name = c.type
    left join lateral (
        select sum(w.slots) as hands from workers w
        where t.name = any(w.types) and coalesce(c.queue = any(w.queues), true)) h on t.pace is not null),
held as (
    select t.name, case when w.tickets < {COUNTED}
                        then round(((t.out_events + w.events) * t.pace / nullif(t.hands, 0))::numeric, 1)::real
                   end as wait
    from types t cross join lateral (
        select count(*) as tickets, coalesce(sum(size), 0) as events from (
            select cardinality(event_ids) as size from millrace.tickets w
            where w.type = t.name and w.published_at is null and w.due_at <= clock_timestamp() limit {COUNTED}) one) w
    where t.out_events >= t.most_out)
insert into millrace.types (name, out_events, most_out, wait, counted_at)
select n.name, n.out_events, n.most_out, h.wait, clock_timestamp()
from types n left join held h on h.name = n.name left join millrace.types t on t.name = n.name
where (select count(*) from counted_queues) is not null
  and (n.out_events <> coalesce(t.out_events, 0) or n.most_out is distinct from t.most_out
       or h.wait is distinct from t.wait)
order by n.name
on conflict (name) do update
set out_events = excluded.out_events, most_out = excluded.most_out, wait = excluded.wait,
    counted_at = excluded.counted_at
"""

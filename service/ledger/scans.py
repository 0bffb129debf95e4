"""Skip scans over the tickets: they find what there is by one step of an index each, however many tickets there are.

Both are parts of a ``with recursive``. Source: PostgreSQL wiki, "Loose indexscan".
"""

#: The (type, queue) that have tickets which are not published.
LANES = """
lanes (type, queue) as (
    (select type, queue from millrace.tickets where published_at is null order by type, queue limit 1)
    union all
    select next.type, next.queue from lanes cross join lateral (
        select t.type, t.queue from millrace.tickets t
        where t.published_at is null and (t.type, t.queue) > (lanes.type, lanes.queue)
        order by t.type, t.queue limit 1) next)
""".strip()

#: The queues that have tickets which are.
QUEUES = """
queues (queue) as (
    (select queue from millrace.tickets where published_at is not null order by queue limit 1)
    union all
    select next.queue from queues cross join lateral (
        select t.queue from millrace.tickets t where t.published_at is not null and t.queue > queues.queue
        order by t.queue limit 1) next)
""".strip()

"""The processes, as they note themselves; who holds a detached handler's run, and since when."""

from alembic import op

revision = "0005"
down_revision = "0004"
phase = "pre"

# A row is written every ten seconds by its process: room in its page, and no index on what changes, make that cheap.
PROCESSES = """
create table millrace.processes (
    kind        text not null check (kind in ('web', 'worker', 'clock')),
    host        text not null,
    pid         integer not null,
    version     text not null,
    queues      text[] not null default '{}',            -- that a worker takes from
    types       text[] not null default '{}',            -- that it has handlers for
    digest      text not null,                           -- of the types: equal in processes with the same handlers
    slots       integer,                                 -- tickets that a worker works at once
    broker      boolean,                                 -- whether its broker is there; null: not known
    holding     jsonb not null default '[]',             -- what a worker was at when it was noted
    started_at  timestamptz not null,
    seen_at     timestamptz not null default now(),
    primary key (kind, host, pid)
) with (fillfactor = 50)
"""

# Of a lease's ticket: the process that runs the event, and since when. It is forgotten with the ticket.
HOLDER = "alter table millrace.tickets add column holder text, add column held_since timestamptz"
HELD = "create index tickets_held on millrace.tickets (id) where holder is not null"


def upgrade() -> None:
    for statement in (PROCESSES, HOLDER, HELD):
        op.execute(statement)
    op.execute("insert into millrace.duties (name) values ('processes') on conflict do nothing")


def downgrade() -> None:
    op.execute("delete from millrace.duties where name = 'processes'")
    op.execute("drop index millrace.tickets_held")
    op.execute("alter table millrace.tickets drop column holder, drop column held_since")
    op.execute("drop table millrace.processes")

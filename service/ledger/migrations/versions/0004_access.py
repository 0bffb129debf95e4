"""Who may do what, and who did what: keys, users, sessions, the audit log and the end of its chain.

The hash of a row of the log is made in ``service/domain/chain.py``, of the row's text: so ``detail`` is kept as it was
written, ``json`` and not ``jsonb``.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
phase = "pre"

KEYS = """
create table millrace.keys (
    id          text primary key,
    name        text not null,                           -- whose it is; two live ones share it while it is changed
    role        text not null check (role in ('producer', 'viewer', 'operator', 'admin')),
    types       text[] not null default '{}',            -- patterns of event types that may be posted; none: all
    hash        text not null unique,                    -- keyed: no key can be made of it
    created_at  timestamptz not null default clock_timestamp(),
    created_by  text,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    revoked_by  text,
    used_at     timestamptz                              -- about; written once a minute
);
create index keys_name on millrace.keys (name)
"""

USERS = """
create table millrace.users (
    name        text primary key,
    role        text not null check (role in ('producer', 'viewer', 'operator', 'admin')),
    password    text not null,                           -- argon2id
    created_at  timestamptz not null default clock_timestamp(),
    created_by  text,
    changed_at  timestamptz not null default clock_timestamp()
)
"""

SESSIONS = """
create table millrace.sessions (
    hash        text primary key,                        -- keyed, of what the cookie holds
    name        text not null,
    local       text references millrace.users (name) on delete cascade,  -- null: signed in at the issuer
    role        text not null check (role in ('producer', 'viewer', 'operator', 'admin')),
    created_at  timestamptz not null default clock_timestamp(),
    seen_at     timestamptz not null default clock_timestamp(),
    ends_at     timestamptz not null
);
create index sessions_local on millrace.sessions (local);
create index sessions_ends_at on millrace.sessions (ends_at)
"""

AUDIT = """
create table millrace.audit (
    n           bigint primary key,                      -- without gaps
    at          timestamptz not null,
    actor       text,
    act         text not null,
    target      text,
    detail      json not null,
    request_id  text,
    address     text,
    previous    text not null,                           -- the hash of row n - 1
    hash        text not null
);
create index audit_actor on millrace.audit (actor, n);
create index audit_target on millrace.audit (target, n);
create table millrace.audit_end (                        -- one row: who writes locks it
    single      boolean primary key default true check (single),
    n           bigint not null,
    hash        text not null
);
insert into millrace.audit_end (n, hash) values (0, repeat('0', 64))
"""


def upgrade() -> None:
    for statement in (KEYS, USERS, SESSIONS, AUDIT):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table millrace.sessions, millrace.users, millrace.keys, millrace.audit, millrace.audit_end")

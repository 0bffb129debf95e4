"""Which role of PostgreSQL may do what. One table says it; the SQL for administrators is made from it.

The roles are made once, by an administrator (``roles``). What they may do with tables is granted by the tables' owner,
the migrator, after each migration (``tables``): so a new version's tables are never out of reach of its processes.
"""

from __future__ import annotations

import sqlalchemy

MIGRATOR, WEB, WORKER, CLOCK, READER = ROLES = (
    "millrace_migrator",
    "millrace_web",
    "millrace_worker",
    "millrace_clock",
    "millrace_reader",
)

#: What each is for.
ABOUT = {
    MIGRATOR: "owns the schema: `millrace migrate`, dumps and restores",
    WEB: "the door, and what operators do: the web processes and the verbs of the command line",
    WORKER: "claims events and writes what came of them",
    CLOCK: "fires schedules, publishes what is due, keeps the ledger in order",
    READER: "looks and changes nothing: `millrace doctor`, a console for looking, reports",
}

WORDS = {"s": "select", "i": "insert", "u": "update", "d": "delete"}

#: Table → what web, worker, clock and reader may do with it, in the letters above. Who may update a row may lock it.
#: What stands here may be missing in the ledger of an older version; what is missing here, nobody may touch.
TABLES: dict[str, tuple[str, str, str, str]] = {
    #                    web     worker  clock   reader
    "events":           ("siu",  "su",   "siu",  "s"),
    "events_default":   ("s",    "",     "sd",   "s"),  # What no partition was made for is counted, what is over goes.
    "tickets":          ("siud", "siud", "siud", "s"),
    "attempts":         ("s",    "i",    "sd",   "s"),
    "dead":             ("su",   "i",    "sd",   "s"),
    "strays":           ("sd",   "",     "sid",  "s"),
    "idempotency_keys": ("si",   "",     "sd",   ""),
    "types":            ("siu",  "s",    "siu",  "s"),
    "queues":           ("siu",  "",     "siu",  "s"),
    "tallies":          ("si",   "i",    "sid",  "s"),
    "schedules":        ("siud", "",     "siu",  "s"),
    "slots":            ("siu",  "",     "siud", "s"),
    "clocks":           ("s",    "",     "siud", "s"),
    "calendars":        ("s",    "",     "siud", "s"),
    "duties":           ("s",    "s",    "su",   "s"),
    "retention":        ("s",    "",     "su",   "s"),
    "migrations":       ("s",    "s",    "s",    "s"),
    "compatibility":    ("s",    "s",    "s",    "s"),  # What code may run is asked at each start.
    "keys":             ("siu",  "",     "",     ""),
    "users":            ("siud", "",     "",     ""),
    "sessions":         ("siud", "",     "",     ""),
    "audit":            ("si",   "",     "",     "s"),  # Nobody changes what was written.
    "audit_end":        ("su",   "",     "",     "s"),
    "processes":        ("siud", "siud", "siud", "s"),
    "deploys":          ("si",   "si",   "si",   "s"),
}  # fmt: skip

#: What only the owner can do, clocks have done by these functions.
FUNCTIONS = (
    "make_partitions(integer)",
    "remove_day(date, uuid[], bigint)",
    "thin_day(date, uuid[], bigint)",
)

#: What the apps' handlers and views may do with the apps' own tables, which the migrator makes in schema ``public``, or
#: in schemas of their own.
APPS = {WORKER: "select, insert, update, delete", WEB: "select", READER: "select"}

#: Of every connection on the road; migration 0001 says why. Settings of a role are taken at login, by pgbouncer too.
SETTINGS = {"plan_cache_mode": "force_custom_plan", "idle_in_transaction_session_timeout": "10min"}

HEAD = """-- Roles of Millrace with the least they need. To be run by an administrator, on the ledger's database and
-- before the first `millrace migrate`; again after an upgrade. It changes nothing that is right. Passwords are set
-- apart: psql … -c '\\password millrace_web'
-- Generated: `millrace grants`.
"""


def script() -> str:
    """Everything, as SQL for psql."""
    return "\n\n".join([HEAD.rstrip(), roles(), tables()]) + "\n"


def roles() -> str:
    """The SQL that makes the roles and opens the database to them; for an administrator."""
    made = "\n".join(f"    ('{role}')," for role in ROLES).rstrip(",")
    about = "\n".join(f"comment on role {role} is '{ABOUT[role]}';" for role in ROLES)
    settings = "\n".join(
        f"        execute format('alter role %I in database %I set {name} = %L', role, current_database(), '{value}');"
        for name, value in SETTINGS.items()
    )
    defaults = "\n".join(
        f"alter default privileges for role {MIGRATOR} in schema public grant {words} on tables to {role};"
        for role, words in APPS.items()
    )
    return f"""do $$ declare role name;
begin
    for role in select * from (values
{made}) as wanted where column1 not in (select rolname from pg_roles)
    loop
        execute format('create role %I login nosuperuser nocreatedb nocreaterole noinherit', role);
    end loop;
    execute format('revoke connect, temporary on database %I from public', current_database());
    for role in select * from (values
{made}) as wanted
    loop
        execute format('grant connect on database %I to %I', current_database(), role);
{settings}
    end loop;
    execute format('grant create on database %I to {MIGRATOR}', current_database());
end $$;
{about}

-- The apps' own tables: the migrator makes them, handlers write them.
revoke create on schema public from public;
grant usage, create on schema public to {MIGRATOR};
grant usage on schema public to {", ".join(APPS)};
{defaults}
alter default privileges for role {MIGRATOR} in schema public grant usage on sequences to {WORKER};"""


def tables() -> str:
    """The SQL that grants what the table above says, for what is there of roles and tables; for the schema's owner.

    What was granted before is taken away first, in the same transaction.
    """
    rows = ",\n".join(
        f"    ('{table}', '{role}', '{', '.join(WORDS[letter] for letter in letters)}')"
        for table, granted in TABLES.items()
        for role, letters in zip(ROLES[1:], granted, strict=True)
        if letters
    )
    functions = ",\n".join(f"    ('millrace.{function}')" for function in FUNCTIONS)
    return f"""do $$ declare one record;
begin
    if to_regnamespace('millrace') is null then return; end if;
    for one in select rolname from pg_roles where rolname in ({_quoted(ROLES[1:])}) loop
        execute format('grant usage on schema millrace to %I', one.rolname);
        execute format('revoke all on all tables in schema millrace from %I', one.rolname);
        execute format('revoke all on all functions in schema millrace from %I', one.rolname);
    end loop;
    for one in select * from (values
{rows}) as granted (what, role, words)
    where to_regclass('millrace.' || what) is not null and role in (select rolname from pg_roles)
    loop
        execute format('grant %s on millrace.%I to %I', one.words, one.what, one.role);
    end loop;
    for one in select * from (values
{functions}) as called (what)
    where to_regprocedure(what) is not null and exists (select from pg_roles where rolname = '{CLOCK}')
    loop
        execute format('grant execute on function %s to {CLOCK}', one.what);
    end loop;
end $$;"""


def apps() -> str:
    """The SQL that grants ``APPS`` in every schema that an app's migrations have made; for its owner, after them."""
    rows = ",\n".join(f"    ('{role}', '{words}')" for role, words in APPS.items())
    return f"""do $$ declare one record;
begin
    for one in select nspname as s, role, words from pg_namespace cross join (values
{rows}) as granted (role, words)
    where nspowner = current_user::regrole and nspname not in ('millrace', 'public', 'information_schema')
        and nspname !~ '^pg_' and role in (select rolname from pg_roles)
    loop
        execute format('grant usage on schema %I to %I', one.s, one.role);
        execute format('grant %s on all tables in schema %I to %I', one.words, one.s, one.role);
        execute format('alter default privileges in schema %I grant %s on tables to %I', one.s, one.words, one.role);
        if one.role = '{WORKER}' then
            execute format('grant usage on all sequences in schema %I to %I', one.s, one.role);
            execute format('alter default privileges in schema %I grant usage on sequences to %I', one.s, one.role);
        end if;
    end loop;
end $$;"""


def apply(connection: sqlalchemy.Connection) -> None:
    """Grant what the table says, as the owner of the schema, to those of the roles that there are."""
    connection.exec_driver_sql(tables().replace("%", "%%"))


def apply_to_apps(connection: sqlalchemy.Connection) -> None:
    """Grant what handlers and views need of the apps' own schemas, as their owner."""
    connection.exec_driver_sql(apps().replace("%", "%%"))


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)

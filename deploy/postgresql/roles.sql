-- Roles of Millrace with the least they need. To be run by an administrator, on the ledger's database and
-- before the first `millrace migrate`; again after an upgrade. It changes nothing that is right. Passwords are set
-- apart: psql … -c '\password millrace_web'
-- Generated: `millrace grants`.

do $$ declare role name;
begin
    for role in select * from (values
    ('millrace_migrator'),
    ('millrace_web'),
    ('millrace_worker'),
    ('millrace_clock'),
    ('millrace_reader')) as wanted where column1 not in (select rolname from pg_roles)
    loop
        execute format('create role %I login nosuperuser nocreatedb nocreaterole noinherit', role);
    end loop;
    execute format('revoke connect, temporary on database %I from public', current_database());
    for role in select * from (values
    ('millrace_migrator'),
    ('millrace_web'),
    ('millrace_worker'),
    ('millrace_clock'),
    ('millrace_reader')) as wanted
    loop
        execute format('grant connect on database %I to %I', current_database(), role);
        execute format('alter role %I in database %I set plan_cache_mode = %L', role, current_database(), 'force_custom_plan');
        execute format('alter role %I in database %I set idle_in_transaction_session_timeout = %L', role, current_database(), '10min');
    end loop;
    execute format('grant create on database %I to millrace_migrator', current_database());
end $$;
comment on role millrace_migrator is 'owns the schema: `millrace migrate`, dumps and restores';
comment on role millrace_web is 'the door, and what operators do: the web processes and the verbs of the command line';
comment on role millrace_worker is 'claims events and writes what came of them';
comment on role millrace_clock is 'fires schedules, publishes what is due, keeps the ledger in order';
comment on role millrace_reader is 'looks and changes nothing: `millrace doctor`, a console for looking, reports';

-- The apps' own tables: the migrator makes them, handlers write them.
revoke create on schema public from public;
grant usage, create on schema public to millrace_migrator;
grant usage on schema public to millrace_worker, millrace_web, millrace_reader;
alter default privileges for role millrace_migrator in schema public grant select, insert, update, delete on tables to millrace_worker;
alter default privileges for role millrace_migrator in schema public grant select on tables to millrace_web;
alter default privileges for role millrace_migrator in schema public grant select on tables to millrace_reader;
alter default privileges for role millrace_migrator in schema public grant usage on sequences to millrace_worker;

do $$ declare one record;
begin
    if to_regnamespace('millrace') is null then return; end if;
    for one in select rolname from pg_roles where rolname in ('millrace_web', 'millrace_worker', 'millrace_clock', 'millrace_reader') loop
        execute format('grant usage on schema millrace to %I', one.rolname);
        execute format('revoke all on all tables in schema millrace from %I', one.rolname);
        execute format('revoke all on all functions in schema millrace from %I', one.rolname);
    end loop;
    for one in select * from (values
    ('events', 'millrace_web', 'select, insert, update'),
    ('events', 'millrace_worker', 'select, update'),
    ('events', 'millrace_clock', 'select, insert, update'),
    ('events', 'millrace_reader', 'select'),
    ('events_default', 'millrace_web', 'select'),
    ('events_default', 'millrace_clock', 'select, delete'),
    ('events_default', 'millrace_reader', 'select'),
    ('tickets', 'millrace_web', 'select, insert, update, delete'),
    ('tickets', 'millrace_worker', 'select, insert, update, delete'),
    ('tickets', 'millrace_clock', 'select, insert, update, delete'),
    ('tickets', 'millrace_reader', 'select'),
    ('attempts', 'millrace_web', 'select'),
    ('attempts', 'millrace_worker', 'insert'),
    ('attempts', 'millrace_clock', 'select, delete'),
    ('attempts', 'millrace_reader', 'select'),
    ('dead', 'millrace_web', 'select, update'),
    ('dead', 'millrace_worker', 'insert'),
    ('dead', 'millrace_clock', 'select, delete'),
    ('dead', 'millrace_reader', 'select'),
    ('strays', 'millrace_web', 'select, delete'),
    ('strays', 'millrace_clock', 'select, insert, delete'),
    ('strays', 'millrace_reader', 'select'),
    ('idempotency_keys', 'millrace_web', 'select, insert'),
    ('idempotency_keys', 'millrace_clock', 'select, delete'),
    ('types', 'millrace_web', 'select, insert, update'),
    ('types', 'millrace_worker', 'select'),
    ('types', 'millrace_clock', 'select, insert, update'),
    ('types', 'millrace_reader', 'select'),
    ('queues', 'millrace_web', 'select, insert, update'),
    ('queues', 'millrace_clock', 'select, insert, update'),
    ('queues', 'millrace_reader', 'select'),
    ('tallies', 'millrace_web', 'select, insert'),
    ('tallies', 'millrace_worker', 'insert'),
    ('tallies', 'millrace_clock', 'select, insert, delete'),
    ('tallies', 'millrace_reader', 'select'),
    ('schedules', 'millrace_web', 'select, insert, update, delete'),
    ('schedules', 'millrace_clock', 'select, insert, update'),
    ('schedules', 'millrace_reader', 'select'),
    ('slots', 'millrace_web', 'select, insert, update'),
    ('slots', 'millrace_clock', 'select, insert, update, delete'),
    ('slots', 'millrace_reader', 'select'),
    ('clocks', 'millrace_web', 'select'),
    ('clocks', 'millrace_clock', 'select, insert, update, delete'),
    ('clocks', 'millrace_reader', 'select'),
    ('calendars', 'millrace_web', 'select'),
    ('calendars', 'millrace_clock', 'select, insert, update, delete'),
    ('calendars', 'millrace_reader', 'select'),
    ('duties', 'millrace_web', 'select'),
    ('duties', 'millrace_worker', 'select'),
    ('duties', 'millrace_clock', 'select, update'),
    ('duties', 'millrace_reader', 'select'),
    ('retention', 'millrace_web', 'select'),
    ('retention', 'millrace_clock', 'select, update'),
    ('retention', 'millrace_reader', 'select'),
    ('migrations', 'millrace_web', 'select'),
    ('migrations', 'millrace_worker', 'select'),
    ('migrations', 'millrace_clock', 'select'),
    ('migrations', 'millrace_reader', 'select'),
    ('compatibility', 'millrace_web', 'select'),
    ('compatibility', 'millrace_worker', 'select'),
    ('compatibility', 'millrace_clock', 'select'),
    ('compatibility', 'millrace_reader', 'select'),
    ('keys', 'millrace_web', 'select, insert, update'),
    ('users', 'millrace_web', 'select, insert, update, delete'),
    ('sessions', 'millrace_web', 'select, insert, update, delete'),
    ('audit', 'millrace_web', 'select, insert'),
    ('audit', 'millrace_reader', 'select'),
    ('audit_end', 'millrace_web', 'select, update'),
    ('audit_end', 'millrace_reader', 'select'),
    ('processes', 'millrace_web', 'select, insert, update, delete'),
    ('processes', 'millrace_worker', 'select, insert, update, delete'),
    ('processes', 'millrace_clock', 'select, insert, update, delete'),
    ('processes', 'millrace_reader', 'select'),
    ('deploys', 'millrace_web', 'select, insert'),
    ('deploys', 'millrace_worker', 'select, insert'),
    ('deploys', 'millrace_clock', 'select, insert'),
    ('deploys', 'millrace_reader', 'select')) as granted (what, role, words)
    where to_regclass('millrace.' || what) is not null and role in (select rolname from pg_roles)
    loop
        execute format('grant %s on millrace.%I to %I', one.words, one.what, one.role);
    end loop;
    for one in select * from (values
    ('millrace.make_partitions(integer)'),
    ('millrace.remove_day(date, uuid[], bigint)'),
    ('millrace.thin_day(date, uuid[], bigint)')) as called (what)
    where to_regprocedure(what) is not null and exists (select from pg_roles where rolname = 'millrace_clock')
    loop
        execute format('grant execute on function %s to millrace_clock', one.what);
    end loop;
end $$;

"""An app for tests: its effects are plain, so that nothing but the road can make them happen once."""

#: No unique key anywhere: an event that is worked twice shows as two effects and a balance that is too high.
SCHEMA = """
create table account (id integer primary key, balance integer not null);
insert into account values (1, 0);
create table effects (event_id uuid not null, attempt integer not null, pid integer not null);
"""

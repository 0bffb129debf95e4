"""Every migration says whether old code may run on it, and keeps its word as far as its SQL shows."""

from __future__ import annotations

import pathlib
import re

import alembic.config
import alembic.script
import pytest

from service.ledger import migrate, schema

#: What breaks code that runs. Indexes and constraints that go do not.
TAKES_AWAY = re.compile(
    r"drop (table|column|schema|function|view|default|type)|rename|set not null"
    r"|alter column \w+ (set data )?type|add column \w+ [^,;\"]*not null(?![^,;\"]*default)",
    re.IGNORECASE,
)


def scripts() -> list[alembic.script.Script]:
    """The migrations, the oldest first."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    return list(alembic.script.ScriptDirectory.from_config(config).walk_revisions())[::-1]


SCRIPTS = pytest.mark.parametrize("script", scripts(), ids=lambda script: script.revision)


@SCRIPTS
def test_a_migration_is_pre_or_post(script: alembic.script.Script) -> None:
    assert getattr(script.module, "phase", None) in ("pre", migrate.POST), f'{script.path}: phase = "pre" or "post"?'


@SCRIPTS
def test_a_migration_is_named_by_its_number(script: alembic.script.Script) -> None:
    assert schema.REVISION.fullmatch(script.revision)
    assert pathlib.Path(script.path).name.startswith(f"{script.revision}_")
    assert script.down_revision is None or str(script.down_revision) < script.revision


@SCRIPTS
def test_what_is_pre_takes_nothing_away(script: alembic.script.Script) -> None:
    text, downgrade, _ = pathlib.Path(script.path).read_text().partition("\ndef downgrade")
    assert downgrade
    if script.module.phase != migrate.POST:
        assert not (found := TAKES_AWAY.search(text)), f"{script.path}: {found[0] if found else ''}: that is `post`"


@pytest.mark.parametrize(
    ("sql", "takes"),
    [
        ("alter table t add column a text, add column b int not null default 1", False),
        ("drop index i; alter table t drop constraint c, alter column a drop not null", False),
        ("alter table t drop column a", True),
        ("alter table t alter column a type bigint", True),
        ("alter table t add column a text not null, add column b text default ''", True),
        ("alter table t alter column a set not null", True),
    ],
)
def test_what_takes_away_is_known_by_its_words(sql: str, takes: bool) -> None:
    assert bool(TAKES_AWAY.search(sql)) is takes


def test_the_code_knows_its_newest_migrations() -> None:
    assert max(s.revision for s in scripts()) == schema.HEAD
    assert max(s.revision for s in scripts() if s.module.phase != migrate.POST) == schema.NEEDED

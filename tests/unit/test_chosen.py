"""Which events an act of a verb is meant for."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from service.verbs import common, letters


@pytest.mark.parametrize(
    ("words", "limit"), [(["--type", "a"], 2), (["--all", "--limit", "3"], 3), (["--all", "--limit", "2"], 2)]
)
def test_a_limit_is_the_default_or_what_was_asked_for(words: list[str], limit: int) -> None:
    assert _limit(words) == limit


def test_all_of_them_have_no_default_limit() -> None:
    assert _limit(["--all"]) > 1_000_000_000


def test_a_door_of_an_older_version_that_tells_no_time_is_given_the_filter_itself() -> None:
    chosen = common.Chosen((), {"type": "a.b"}, 10, False)
    assert letters._counted(chosen, {"count": 3}) == {"type": "a.b"}


def _limit(words: list[str]) -> int:
    @click.command()
    @common.chosen("Died", limit=2, everything="Every one.", type=common.TYPE)
    def verb(chosen: common.Chosen) -> None:
        click.echo(chosen.limit)

    return int(CliRunner().invoke(verb, words).stdout)

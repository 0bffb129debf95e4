"""The page about schedules says what the code does: what it shows is typed, and what it lists is true."""

from __future__ import annotations

import re
import shlex

import pytest
from click.testing import CliRunner

from service import plans
from service.domain import errors
from service.settings import Settings
from service.verbs.preview import preview
from tests.repository import pages
from workers.http.request import Request

PAGE = (pages.ROOT / "docs/schedules.md").read_text()
WEBHOOKS = (pages.ROOT / "docs/webhooks.md").read_text()
SHOWN = re.findall(r"^\$ millrace schedules preview (.*)\n((?:.+\n)+?)```", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("words", "output"), SHOWN)
def test_a_preview_is_what_it_shows(words: str, output: str) -> None:
    found = CliRunner().invoke(preview, shlex.split(words))
    assert [line.rstrip() for line in found.output.splitlines()] == output.splitlines()


def test_there_is_one() -> None:
    assert SHOWN


@pytest.mark.parametrize("expression", sorted(set(re.findall(r"`((?:[\d*/,LA-Z#-]+ ){4}[\d*/,LA-Z#-]+)`", PAGE))))
def test_each_expression_is_one(expression: str) -> None:
    if expression == "0 0 31 2 *":
        with pytest.raises(errors.DeclarationError):
            plans.Cron(expression)
    else:
        assert plans.Cron(expression).describe()


def test_every_field_of_a_request_is_in_its_table() -> None:
    fields = {field.alias or name for name, field in Request.model_fields.items()}
    table = WEBHOOKS.partition("## The payload")[2].partition("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == fields


def test_the_settings_that_it_names_exist() -> None:
    named = {name.removesuffix("_FILE") for name in re.findall(r"MILLRACE_(\w+)", WEBHOOKS)}
    assert {name.lower() for name in named} <= set(Settings.model_fields)

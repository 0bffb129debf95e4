"""``docs/access.md``: its calls are answered as it says, its commands exist, its table is the code's."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from service import cli
from service.domain import credentials
from service.domain.access import GRANTED, Permission, Role
from service.settings import Settings
from tests.entrance import Entrance
from tests.integration.test_http_page import Example
from tests.ledgers import Ledger
from tests.repository.pages import ROOT

PAGE = (ROOT / "docs/access.md").read_text()


def calls() -> list[tuple[str, int]]:
    """All calls of curl, in order, and their statuses."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [(c, int(status)) for block in blocks for c, status in re.findall(r"(curl .*)\n# (\d{3})\n", block)]


@pytest.mark.postgres
def test_every_call_is_answered_as_the_page_says(database: str) -> None:
    ledger = Ledger(database)
    ledger.handler("orders.created", print)
    ledger.handler("mails.sent", print)
    entrance = Entrance(ledger)
    names = {
        "ADMIN": entrance.keys[Role.ADMIN],
        "VIEWER": entrance.keys[Role.VIEWER],
        "ORDERS": entrance.key("shop", Role.PRODUCER, ("orders.*",)),
        "ORDERS_ID": entrance.id("shop"),
        "EVENT": ledger.post("orders.created", {"password": "p"})[0],
    }
    assert len(calls()) == PAGE.count("\ncurl ") >= 15
    for call, status in calls():
        text = re.sub(r"\$([A-Z_]+)", lambda found: names[found[1]], call)
        answer = Example(shlex.split(text), None, status).run(entrance.app.test_client())
        assert answer.status_code == status, f"{call}: {answer.text}"


def test_the_table_of_roles_is_the_codes() -> None:
    rows = re.findall(r"^\| `([a-z.]+)`: .*?\|(.*)\|$", PAGE, re.MULTILINE)
    assert {name for name, _ in rows} == {p.value for p in Permission} - {Permission.ASK.value}
    for name, cells in rows:
        said = [cell.strip() == "yes" for cell in cells.split("|")]
        assert said == [Permission(name) in GRANTED[role] for role in Role], name


def test_its_commands_and_settings_exist() -> None:
    for words in re.findall(r"^millrace (.*?)(?: #.*)?$", PAGE, re.MULTILINE):
        command, rest = cli.main, words.split()
        while isinstance(command, click.Group) and rest:
            command = command.commands[rest.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words
    for name in re.findall(r"MILLRACE_([A-Z_]+)", PAGE):
        assert name.removesuffix("_FILE").lower() in Settings.model_fields, name


def test_the_pattern_for_scanners_finds_keys() -> None:
    [pattern] = re.findall(r"`(mr_\[0-9a-f\].*?)`", PAGE)
    assert all(re.fullmatch(pattern, credentials.make().text) for _ in range(20))

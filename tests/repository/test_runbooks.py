"""What the runbooks have people type asks for what there is: states, outcomes, queues of the virtual host that is ours.

That each command runs is shown by ``tests/monitoring/live``; that none hurts, by ``tests/integration``.
"""

from __future__ import annotations

import enum
import re
import shlex

import pytest

from service.domain import outcome, processes, slots, states
from service.telemetry import catalogue
from tests.monitoring import questions, rules

COMMANDS = [pytest.param(command, id=book.stem) for book in rules.BOOKS for command in rules.checks(book)]
#: Columns of the ledger that hold words, and the words.
WORDS: dict[str, tuple[type[enum.StrEnum], ...]] = {
    "state": (states.State,),
    "outcome": (slots.Outcome,),
    "reason": (slots.Reason, outcome.Reason),
    "kind": (processes.Kind,),
}
#: Metric and label → its words, where they are few.
LABELS = {(metric.name, label.name): label.values for metric in catalogue.CATALOGUE for label in metric.labels}
#: A column and the words that it is compared with.
COMPARED = re.compile(r"\b(\w+)\s*(?:=|<>|!=|in)\s*(\('[^)]*'\)|'[^']*')")
#: These tell of one virtual host, which is / if they are not told another.
OF_A_VHOST = ("list_queues", "list_bindings", "list_permissions")


def unknown(query: str) -> list[str]:
    """The words in SQL that no row can have."""
    found = []
    # Of PostgreSQL's own tables the words are its own.
    for column, text in COMPARED.findall(query) if "pg_stat_activity" not in query else ():
        if known := {word.value for kind in WORDS.get(column, ()) for word in kind}:
            found += [f"{column} = {word}" for word in re.findall(r"'([^']*)'", text) if word not in known]
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_check_asks_for_words_that_there_are(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "psql":
        assert unknown(words[-1]) == []
    for selector in questions.selectors(words[-1]) if program == "promtool" else ():
        for matcher in selector.matchers.matchers:
            known = LABELS.get((re.sub(r"_(bucket|sum|count)$", "", str(selector.name)), matcher.name), ())
            assert not known or any(re.fullmatch(matcher.value, word) for word in known), command


def test_a_word_that_there_is_not_would_be_found() -> None:
    assert unknown("select count(*) filter (where e.state = 'done') from millrace.events e") == ["state = done"]
    assert unknown("where outcome in ('fired', 'caught up') and reason <> 'late'") == [
        "outcome = caught up",
        "reason = late",
    ]
    assert unknown("where state = 'succeeded' and reason = 'overlap' and name = 'retention'") == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if str(c.values[0]).startswith("rabbitmqctl")])
def test_rabbitmq_is_asked_for_the_virtual_host_that_is_ours(command: str) -> None:
    """Of another it lists nothing, which looks like no queues."""
    words = shlex.split(command)
    if words[1] in OF_A_VHOST:
        assert words[2:4] == ["-p", "${VHOST:-/}"], command


def test_the_page_of_runbooks_says_where_these_stand() -> None:
    page = (rules.ROOT / "docs/runbooks/README.md").read_text()
    asked = {name for book in rules.BOOKS for c in rules.checks(book) for name in re.findall(r"\$\{?(\w+)", c)}
    assert {name for name in asked if f"export {name}=" not in page} == set()
    # A query that takes long in an incident makes it worse.
    blocks = [
        block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "psql" in block or "DATABASE_URL" in block
    ]
    assert len(blocks) == 4
    assert all("statement_timeout=" in block for block in blocks)

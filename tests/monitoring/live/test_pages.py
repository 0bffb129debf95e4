"""From a fault to the page, with real servers all the way; and the runbooks' commands on the same road."""

from __future__ import annotations

import logging
import pathlib
import time
import urllib.parse

import pytest

from tests.monitoring import prometheus, promtool, rules
from tests.monitoring.live.conftest import Told
from tests.monitoring.paging import Shell
from tests.monitoring.story import Story
from tests.patience import PATIENCE, wait

log = logging.getLogger(__name__)

#: Program → what the runbooks run of it, and where that stands.
COMMANDS: dict[str, dict[str, str]] = {}
for _book in rules.BOOKS:
    for _command in rules.checks(_book):
        COMMANDS.setdefault(_command.partition(" ")[0], {})[_command] = _book.name

LONGEST = 20 * PATIENCE  #: seconds from a fault to the page, two of which it must last


def test_a_broker_that_dies_is_one_page_which_leads_on(
    story: Story, told: Told, record_property: pytest.RecordProperty
) -> None:
    record_property("seconds to the page", round(told.outage.seconds, 1))
    log.info("The page came out %.1f s after the fault, two of which it must last", told.outage.seconds)
    assert 2 <= told.outage.seconds < LONGEST
    assert told.outage.follows == {"suppressed"}, "what follows from it is not told"
    pages = {alert["labels"]["alertname"] for _, who, alert in story.pages.told if who == "page"}
    assert pages == {"MillraceBrokerAway"}, "while it was away, and since it is back"
    page = told.outage.page
    assert not set(page["labels"]) & set(promtool.ADDRESSES)
    runbook = urllib.parse.urlsplit(page["annotations"]["runbook_url"])
    assert runbook.scheme == "file"
    assert pathlib.Path(runbook.path).read_text().startswith("# MillraceBrokerAway\n")
    assert page["annotations"]["dashboard_url"].startswith("/d/millrace-")  # There is no Grafana


@pytest.fixture(scope="module")
def shell(story: Story) -> Shell:
    return story.shell()


@pytest.mark.heavy
def test_the_death_of_the_last_clock_is_one_page_and_its_return_ends_it(story: Story, told: Told) -> None:
    begin = time.monotonic()
    [clock] = story.clocks
    clock.kill()
    wait(lambda: story.pages.find("page", "MillraceNoClock", since=begin), 60, "the page comes out")
    follows = lambda: prometheus.states(story.monitor.alertmanager, "MillraceTargetDown")  # noqa: E731
    wait(follows, 30, "its target is down")
    assert follows() == {"suppressed"}
    clock.restart()
    over = "resolved"
    wait(lambda: story.pages.find("page", "MillraceNoClock", over, since=begin), 60, "it is told that all is well")


@pytest.mark.heavy
def test_a_door_that_is_gone_is_a_page(story: Story, told: Told) -> None:
    begin = time.monotonic()
    story.door.process.kill()
    wait(
        lambda: story.pages.find("page", "MillraceNoWeb", since=begin), 60 + LONGEST, "it lasts a minute, and comes out"
    )
    story.door.process.restart()
    story.door.wait_until_open()


@pytest.mark.parametrize(
    "program",
    # Each call of the last one starts an Erlang machine, which takes more than a second.
    ["curl", "psql", "promtool", "millrace", pytest.param("rabbitmqctl", marks=pytest.mark.heavy)],
)
def test_the_checks_of_every_runbook_run(story: Story, told: Told, shell: Shell, program: str) -> None:
    commands = COMMANDS[program]
    assert commands
    for command, book in commands.items():
        done = shell.run(command)
        assert done.returncode == 0, f"{book}: {command}\n{done.stdout}{done.stderr}"


def test_no_runbook_has_a_check_that_is_not_run() -> None:
    assert sum(map(len, COMMANDS.values())) > 50
    assert set(COMMANDS) == {"curl", "psql", "promtool", "millrace", "rabbitmqctl"}

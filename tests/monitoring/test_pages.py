"""From a fault to the page, with real servers all the way; and the runbooks' commands on the same road."""

from __future__ import annotations

import logging
import time

import pytest

from tests.monitoring import rules
from tests.monitoring.conftest import Watch
from tests.patience import wait

log = logging.getLogger(__name__)
pytestmark = pytest.mark.heavy

#: RabbitMQ 3.10 has no such metric.
ABSENT = {"rabbitmq_unreachable_cluster_peers_count"}


def test_the_death_of_the_last_clock_is_one_page_and_its_return_ends_it(
    watch: Watch, record_property: pytest.RecordProperty
) -> None:
    wait(lambda: not watch.query('ALERTS{alertname="MillraceNoClock"}'), 60, "all is well")
    begin = time.monotonic()
    watch.clock.kill()
    wait(lambda: watch.pages.find("page", "MillraceNoClock", since=begin), 60, "the page comes out")
    seconds = watch.pages.find("page", "MillraceNoClock", since=begin)[0] - begin
    record_property("seconds to the page", round(seconds, 1))
    log.info("The page came out %.1f s after the fault, two of which it must last", seconds)
    # The alert that follows from it is there, and is not told.
    wait(lambda: watch.query('ALERTS{alertname="MillraceTargetDown",alertstate="firing"}'), 20, "its target is down")
    time.sleep(3)  # Longer than Alertmanager waits before it tells.
    assert not watch.pages.find("tickets", "MillraceTargetDown", since=begin)
    watch.clock.restart()
    resolved = "resolved"
    wait(lambda: watch.pages.find("page", "MillraceNoClock", resolved, since=begin), 60, "it is told that all is well")


def test_a_door_that_is_gone_is_a_page(watch: Watch) -> None:
    begin = time.monotonic()
    watch.door.process.kill()
    wait(lambda: watch.pages.find("page", "MillraceNoWeb", since=begin), 60, "the page comes out")
    watch.door.process.restart()
    watch.door.wait_until_open()


def test_every_metric_that_rules_name_has_data(watch: Watch) -> None:
    names = {name for rule in rules.read() for name in rules.metrics_in(rule.expr) if ":" not in name} - ABSENT
    assert len(names) > 30
    wait(
        lambda: not [name for name in names if not watch.query(f'{{__name__="{name}"}}')],
        30,
        f"data of {[name for name in names if not watch.query(f'{{__name__={chr(34)}{name}{chr(34)}}}')]}",
        step=1.0,
    )


def test_the_checks_of_every_runbook_run(watch: Watch) -> None:
    commands = {command: book.name for book in rules.BOOKS for command in rules.checks(book)}
    assert len(commands) > 50
    for command, book in commands.items():
        done = watch.shell(command)
        assert done.returncode == 0, f"{book}: {command}\n{done.stdout}{done.stderr}"

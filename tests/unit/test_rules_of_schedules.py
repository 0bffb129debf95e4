"""The rules of a schedule in words: what was not stated is told as well."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from service.domain import policies
from service.plans import choices
from service.web.console import rules

ONE: dict[str, Any] = {
    "plan": {"cron": "30 2 * * *", "tz": "Europe/Berlin"},
    "misfire": "last",
    "misfire_window": None,
    "overlap": "allow",
    "jitter": 0.0,
    "expires_after": None,
    "starts_at": None,
    "ends_at": None,
    "max_runs": None,
    "runs": 0,
}


def test_what_a_plan_leaves_open_is_told_as_it_will_be() -> None:
    told = dict(rules.told(ONE))
    assert told["Missing time"] == "shift: right after the gap"
    assert told["Doubled time"] == "first: the first time"
    hourly = dict(rules.told(ONE | {"plan": {"cron": "*/15 * * * *"}}))
    assert (hourly["Missing time"], hourly["Doubled time"]) == ("skip: not on that day", "both: both times")


@pytest.mark.parametrize("plan", [{"every": "5m"}, {"cron": "of another version"}])
def test_only_a_plan_by_local_time_has_rules_for_changes_of_clocks(plan: dict[str, Any]) -> None:
    assert not {"Missing time", "Doubled time"} & dict(rules.told(ONE | {"plan": plan})).keys()


def test_how_late_an_instant_may_be_is_told() -> None:
    assert dict(rules.told(ONE))["Misfire"] == "last: fire the latest, however late"
    found = dict(rules.told(ONE | {"misfire": "all", "misfire_window": 60.0}))
    assert found["Misfire"] == "all: fire each, the oldest first, up to 1 min late"


@pytest.mark.parametrize(
    ("policy", "possible"),
    [
        ("missing", get_args(choices.Missing)),
        ("doubled", get_args(choices.Doubled)),
        ("misfire", [one.value for one in policies.Misfire]),
        ("overlap", [one.value for one in policies.Overlap]),
    ],
)
def test_every_choice_has_its_words(policy: str, possible: list[str]) -> None:
    assert sorted(rules.CHOICES[policy]) == sorted(possible)

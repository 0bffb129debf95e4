"""Who may say that others are gone: who has been there without a gap."""

from __future__ import annotations

import datetime

from service.domain import signs

BEGIN = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)


def after(seconds: float) -> datetime.datetime:
    return BEGIN + datetime.timedelta(seconds=seconds)


def test_who_has_just_come_may_not_judge_and_after_a_minute_of_signs_it_may() -> None:
    own = signs.Signs()
    assert not own.may_judge(BEGIN)
    for seconds in range(0, 61, 5):
        own.give(after(seconds))
        assert own.may_judge(after(seconds)) == (seconds >= signs.GONE)


def test_after_a_gap_it_begins_anew() -> None:
    own = signs.Signs()
    for seconds in range(0, 100, 5):
        own.give(after(seconds))
    assert own.may_judge(after(120))
    assert not own.may_judge(after(130)), "the last sign is too long ago: the ledger may have been away for all"
    own.give(after(130))
    assert not own.may_judge(after(130))
    own.give(after(150))
    own.give(after(170))
    own.give(after(190))
    assert own.may_judge(after(190))

"""Cron expressions, against cronsim on local time without zones."""

from __future__ import annotations

import datetime
import itertools
import re

import cronsim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import errors
from service.plans import Cron, expression

WALL = st.datetimes(datetime.datetime(1999, 1, 1), datetime.datetime(2101, 1, 1))


def terms(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    # A range of one number with a step goes on to the end in cronsim, unlike in crontab(5).
    span = st.tuples(number, number).filter(lambda p: p[0] != p[1]).map(lambda p: f"{min(p)}-{max(p)}")
    plain = st.one_of(number.map(str), span, st.just("*"))
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, high)).map(lambda p: f"{p[0]}/{p[1]}")
    return st.lists(st.one_of(plain, stepped, *(st.just(m) for m in more)), min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(
    terms(0, 59),
    terms(0, 59),
    terms(0, 23),
    terms(1, 31, "L", "LW"),
    terms(1, 12, "JAN", "DEC", "FEB"),
    terms(0, 7, "MON", "SUN", "SAT-SUN", "5L", "0L", "MON#2", "7#5"),
).map(" ".join)


@settings(max_examples=120, deadline=None)
@given(EXPRESSIONS, WALL)
def test_any_expression_means_what_it_means_to_cronsim(text: str, wall: datetime.datetime) -> None:
    wall = wall.replace(microsecond=0)
    text = text.replace("SAT-SUN", "6-7")  # Which cronsim does not know.
    try:
        theirs = list(itertools.islice(cronsim.CronSim(text, wall), 3))
    except cronsim.CronSimError:
        theirs = []
    if not theirs:
        with pytest.raises(errors.DeclarationError, match="ever due"):
            expression.parse(text)
        return
    found, ours = expression.parse(text), []
    for _ in theirs:
        wall = found.first_from(wall + datetime.timedelta(seconds=1)) or wall
        ours.append(wall)
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "wall", "due"),
    [
        ("*/15 * * * *", "2026-01-01T00:00:01", "2026-01-01T00:15:00"),
        ("5 0 * * *", "2026-01-01T00:05:00", "2026-01-01T00:05:00"),
        ("10 */5 * * * *", "2026-01-01T00:00:11", "2026-01-01T00:05:10"),  # The second comes first.
        ("0 0 29 2 *", "2096-03-01T00:00:00", "2104-02-29T00:00:00"),  # 2100 is no leap year.
        ("0 0 29 2 */7", "2093-01-01T00:00:00", "2128-02-29T00:00:00"),  # A Sunday.
        ("0 0 31 * *", "2026-02-01T00:00:00", "2026-03-31T00:00:00"),
        ("0 0 L * *", "2028-02-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 LW * *", "2026-05-01T00:00:00", "2026-05-29T00:00:00"),
        ("0 0 * * 5L", "2026-02-01T00:00:00", "2026-02-27T00:00:00"),
        ("0 0 * * MON#5", "2026-02-01T00:00:00", "2026-03-30T00:00:00"),
        ("0 0 13 * FRI", "2026-02-01T00:00:00", "2026-02-06T00:00:00"),  # Either.
        ("0 0 */13 * FRI", "2026-02-01T00:00:00", "2026-02-27T00:00:00"),  # Both: the 1st, 14th or 27th, a Friday.
        ("0 0 * * SAT-SUN", "2026-11-20T00:00:00", "2026-11-21T00:00:00"),
        ("0 22-23,0-2 * * *", "2026-01-01T23:30:00", "2026-01-02T00:00:00"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59", "2026-12-31T23:59:59"),
        ("0 0 1 jan *", "2026-01-01T00:00:01", "2027-01-01T00:00:00"),
    ],
)
def test_what_expressions_mean(text: str, wall: str, due: str) -> None:
    found = expression.parse(text).first_from(datetime.datetime.fromisoformat(wall))
    assert found == datetime.datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has 0 fields"),
        ("* * * *", "it has 4 fields; five are wanted"),
        ("* * * * * * 2026", "it has 7 fields"),
        ("60 * * * *", "minute: '60' is not a number from 0 to 59"),
        ("-1 * * * *", "minute: '' is not a number"),
        ("* 24 * * *", "hour: '24'"),
        ("* * 0 * *", "day of the month: '0'"),
        ("* * L-3 * *", "day of the month: 'L' is not"),
        ("* * * 13 *", "month: '13' is not a number from 1 to 12, or JAN"),
        ("* * * MAY-FEB *", "month: 'MAY-FEB' runs backwards; round the corner is MAY-12,1-FEB"),
        ("* 22-2 * * *", "round the corner is 22-23,0-2"),
        ("* * * * 8", "day of the week: '8' is not a number from 0 to 7, or SUN"),
        ("* * * * L", "5L is the last Friday"),
        ("* * * * MON#6", "a number from 1 to 5 is wanted after the #"),
        ("*/0 * * * *", "minute: '0' is no step"),
        ("*/61 * * * *", "minute: '61' is no step"),
        ("*/x * * * *", "minute: 'X' is no step"),
        ("1,,2 * * * *", "minute: '' is not"),
        ("a b c d e", "minute: 'A' is not"),
        ("٣ * * * *", "minute: '٣' is not"),
        ("0 0 31 2 *", "no month that it names has such a day"),
        ("0 0 30 FEB *", "no month that it names has such a day"),
        ("0 0 31 4,6,9,11 *", "no month that it names has such a day"),
        ("*" * 2000, "text of at most 1000 characters"),
        (5, "text of at most"),
        (None, "text of at most"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_field_and_the_cure(text: str, why: str) -> None:
    with pytest.raises(errors.DeclarationError, match=re.escape(why)) as caught:
        Cron(text)
    assert caught.value.field == "cron"


def test_a_huge_number_is_refused_and_does_not_take_long() -> None:
    with pytest.raises(errors.DeclarationError, match="minute"):
        Cron("9" * 900 + " * * * *")


def test_nothing_comes_after_the_last_year_that_there_is() -> None:
    assert expression.parse("0 0 29 2 *").first_from(datetime.datetime(9998, 1, 1)) is None

"""Previews of plans: the next instants, a year by days, its picture, and the verb."""

from __future__ import annotations

import datetime
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from click.testing import CliRunner, Result

from schedules import cron
from service import plans, plugins
from service.domain import errors, schedules
from service.plans import picture, preview
from service.verbs.preview import preview as verb

UTC = datetime.UTC
SVG = "{http://www.w3.org/2000/svg}"


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def told(spec: dict[str, object], after: str, count: int = 1, tz: str | None = None) -> list[tuple[str, str]]:
    found = preview.coming(plans.read(spec), at(after), count, tz)
    return [(f"{i.local:%a %d %H:%M}", "; ".join(p for p in (i.change, i.why) if p)) for i in found]


FORWARD = "clocks go forward from 02:00 to 03:00"
BACK = "clocks go back from 03:00 to 02:00"


@pytest.mark.parametrize(
    ("spec", "after", "wanted"),
    [
        (
            {"cron": "30 2 * * *", "tz": "Europe/Berlin"},
            "2026-03-28T00:00Z",
            [
                ("Sat 28 02:30", ""),
                ("Sun 29 03:00", f"{FORWARD}; in place of 02:30, which is missing"),
                ("Mon 30 02:30", ""),
            ],
        ),
        (
            {"cron": "*/30 2,3 * * *", "tz": "Europe/Berlin"},
            "2026-03-29T00:00Z",
            [
                ("Sun 29 03:00", f"{FORWARD}; for itself and for 02:00 and 1 more, which are missing"),
                ("Sun 29 03:30", FORWARD),
            ],
        ),
        (
            {"cron": "30 2 * * *", "tz": "Europe/Berlin", "doubled": "both"},
            "2026-10-25T00:00Z",
            [
                ("Sun 25 02:30", f"{BACK}; 02:30 comes twice; this is the first time"),
                ("Sun 25 02:30", f"{BACK}; 02:30 comes twice; this is the second time"),
                ("Mon 26 02:30", ""),
            ],
        ),
        (
            {"cron": "0 9 * * *", "tz": "Pacific/Apia"},
            "2011-12-30T00:00Z",
            [
                (
                    "Sat 31 00:00",
                    "clocks go forward from 2011-12-30 00:00 to 2011-12-31 00:00;"
                    " in place of 2011-12-30 09:00, which is missing",
                )
            ],
        ),
        (
            {"at": "2026-03-29T02:30", "tz": "Europe/Berlin"},
            "2026-01-01T00:00Z",
            [("Sun 29 03:00", f"{FORWARD}; 02:30 is missing, so it runs at the first instant after the gap")],
        ),
        ({"every": "1d"}, "2026-01-01T00:00Z", [("Fri 02 00:00", "")]),
    ],
)
def test_what_daylight_saving_does_is_explained(
    spec: dict[str, object], after: str, wanted: list[tuple[str, str]]
) -> None:
    assert told(spec, after, len(wanted)) == wanted


def test_a_list_ends_with_its_plan_and_has_its_bounds() -> None:
    assert told({"at": "2026-03-29T02:30Z"}, "2027-01-01T00:00Z", 5) == []
    assert len(told({"at": "2026-03-29T02:30Z"}, "2026-01-01T00:00Z", 5)) == 1
    for count in (0, 1001):
        with pytest.raises(errors.DeclarationError, match="from 1 to 1000"):
            told({"every": 60}, "2026-01-01T00:00Z", count)


def test_another_zone_may_be_shown() -> None:
    spec: dict[str, object] = {"cron": "0 9 * * *", "tz": "Europe/Berlin"}
    assert told(spec, "2026-07-01T00:00Z", 1, "Asia/Tokyo") == [("Wed 01 16:00", "")]


@pytest.mark.parametrize("policies", [{}, {"missing": "skip", "doubled": "both"}, {"doubled": "last"}])
@pytest.mark.parametrize("expression", ["*/20 * 1-8,25-30 3,4,9-12 *", "30 2 * * *", "0 0 * * SUN", "15,45 0-3 L * *"])
@pytest.mark.parametrize(
    ("tz", "year"),
    [("Europe/Berlin", 2026), ("Australia/Lord_Howe", 2026), ("Asia/Beirut", 2026), ("America/Havana", 2026),
     ("America/Santiago", 2026), ("Pacific/Apia", 2011)],
)  # fmt: skip
def test_a_year_is_counted_as_if_each_instant_were_gone_through(
    tz: str, year: int, expression: str, policies: dict[str, str]
) -> None:
    plan = plans.read({"cron": expression, "tz": tz, **policies})
    found = preview.year(plan, year)
    zone = plans.zones.get(tz)
    start, end = (plans.zones.midnight(zone, datetime.date(y, 1, 1)) for y in (year, year + 1))
    counted = dict.fromkeys((day.date for day in found.days), 0)
    for utc in plan.between(start, end):
        counted[utc.astimezone(zone).date()] += 1
    assert {day.date: day.count for day in found.days} == counted


@pytest.mark.parametrize("spec", [{"cron": "*/20 * * * *", "tz": "Europe/Berlin"}, {"every": 3600}])
def test_a_year_has_nothing_before_a_start_or_after_an_end(spec: dict[str, Any]) -> None:
    """Both in the middle of a day on which clocks change; both instants are in it."""
    plan, start, end = plans.read(spec), at("2026-03-29T00:40Z"), at("2026-10-25T01:00Z")
    days = {day.date: day.count for day in preview.year(plan, 2026, start, end).days}
    zone = plans.zones.get(plan.tz)
    counted = dict.fromkeys(days, 0)
    for utc in plan.between(start, end + end.resolution):
        counted[utc.astimezone(zone).date()] += 1
    assert days == counted
    assert preview.year(plan, 2027, start, end).total == 0


def test_a_year_of_every_second_takes_no_longer() -> None:
    found = preview.year(plans.Cron("* * * * * *", "Europe/Berlin"), 2026)
    assert {day.count for day in found.days} == {86400, 82800, 90000}
    assert {day.date.isoformat(): day.change for day in found.days if day.change} == {
        "2026-03-29": FORWARD,
        "2026-10-25": BACK,
    }
    assert found.total == 365 * 86400
    assert preview.year(plans.Interval(1), 2028).total == 366 * 86400
    assert preview.year(plans.At(at("2028-02-29T12:00Z")), 2028).document()["days"][59] == {
        "date": "2028-02-29", "count": 1, "change": None,
    }  # fmt: skip


@pytest.mark.parametrize("year", [1969, 2200])
def test_a_year_that_is_far_away_is_refused(year: int) -> None:
    with pytest.raises(errors.DeclarationError, match="from 1970 to 2199"):
        preview.year(plans.Interval(60), year)


def drawn(spec: dict[str, object], year: int = 2026) -> ET.Element:
    return ET.fromstring(picture.draw(preview.year(plans.read(spec), year), "one"))


def test_the_picture_of_a_year_says_everything_in_words_too() -> None:
    svg = drawn({"cron": "30 2 * * MON-SAT", "tz": "Europe/Berlin"})
    assert svg.get("role") == "img"
    title, desc = svg.findall(f"{SVG}title")[0], svg.findall(f"{SVG}desc")[0]
    assert (svg.get("aria-labelledby") or "").split() == [title.get("id"), desc.get("id")] == ["one-title", "one-desc"]
    assert title.text == "2026: at 02:30, Monday to Saturday (Europe/Berlin)"
    assert desc.text == (
        "313 runs on 313 days of 2026, by the clocks of Europe/Berlin."
        f" 29 March: {FORWARD}; 25 October: {BACK}."
    )  # fmt: skip
    cells = [g for g in svg.findall(f"{SVG}g") if g.get("aria-hidden") is None]
    titles = [g.findtext(f"{SVG}title") for g in cells]
    assert len(cells) == 365
    assert titles[:1] == ["Thursday 1 January: 1 run"]
    assert f"Sunday 29 March: 0 runs; {FORWARD}" in titles
    assert sum(1 for g in cells if g.find(f"{SVG}circle") is not None) == 2


def test_no_day_stands_on_another_and_all_are_inside() -> None:
    for year in (2026, 2028, 2023):
        svg = drawn({"cron": "* * * * *"}, year)
        places = {(r.get("x"), r.get("y")) for g in svg.findall(f"{SVG}g")[:-1] for r in g.findall(f"{SVG}rect")}
        assert len(places) == (366 if year == 2028 else 365)
        _, _, width, height = (float(n) for n in (svg.get("viewBox") or "").split())
        assert all(float(x or 0) + picture.CELL < width and float(y or 0) + picture.CELL < height for x, y in places)


def test_more_runs_are_darker_and_names_cannot_break_out() -> None:
    found = preview.Year(
        2026, "<b>&", '"><script>',
        tuple(preview.Day(datetime.date(2026, 1, n + 1), c, "") for n, c in enumerate([0, 1, 10, 100, 1000])),
    )  # fmt: skip
    svg = picture.draw(found)
    assert "<script>" not in svg
    shades = [float(s) for s in re.findall(r'<g><title>[^<]*</title><rect [^>]*fill-opacity="([\d.]+)"', svg)]
    assert shades == sorted(set(shades))
    assert len(shades) == 4


def run(*words: str) -> Result:
    return CliRunner().invoke(verb, words)


def test_the_verb_shows_an_expression_that_is_no_schedule_yet() -> None:
    found = run("30 2 * * *", "--tz", "Europe/Berlin", "--after", "2026-10-24T12:00Z", "--next", "2")
    assert found.exit_code == 0
    assert found.output.startswith("every day at 02:30 (Europe/Berlin)")
    assert "Sun 2026-10-25 02:30:00 +0200" in found.output
    assert "comes twice" in " ".join(found.output.split())
    for words in (["5m"], ["2030-01-01T00:00Z"], ["2030-01-01 09:00", "--tz", "Asia/Tokyo"]):
        assert run(*words).exit_code == 0


def test_the_verb_shows_a_schedule_by_its_name_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "calendar", schedules.Calendar())
    cron("0 9 * * *", "reports.daily", tz="Europe/Berlin", name="report")
    found = run("report", "--after", "2026-07-01T00:00Z", "--next", "1", "--json")
    assert json.loads(found.output) == {
        "plan": {"cron": "0 9 * * *", "tz": "Europe/Berlin"},
        "text": "every day at 09:00 (Europe/Berlin)",
        "instants": [
            {"utc": "2026-07-01T07:00:00Z", "local": "2026-07-01T09:00:00+02:00", "weekday": "Wednesday",
             "change": None, "why": None},
        ],
    }  # fmt: skip
    assert "has policies of its own" in run("report", "--missing", "skip").output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nothing"], "there is no schedule 'nothing', and it is not a cron expression"),
        (["61 * * * *"], "minute: '61' is not a number from 0 to 59"),
        (["0 0 * * *", "--tz", "Mars"], "'Mars' is no time zone"),
        (["5m", "--missing", "skip"], "missing: no member of a plan with every"),
        (["5x"], "30s, 5m, 2h or 1d is wanted"),
    ],
)
def test_what_the_verb_cannot_show_is_told_in_one_line(words: list[str], why: str) -> None:
    found = run(*words)
    assert found.exit_code == 1
    assert why in found.output

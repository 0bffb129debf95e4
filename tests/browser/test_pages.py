"""Every page: for everybody, on every screen, with and without scripts."""

from __future__ import annotations

import http.client
import re
from collections.abc import Sequence

import pytest
from playwright import sync_api
from playwright.sync_api import expect

from service.domain.access import Permission
from service.web import access
from service.web.console import page as pages
from tests.browser.stage import NARROW, Stage
from tests.patience import PATIENCE

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

PATHS = (
    "/console", "/console/first-run", "/console/events", "/console/events?state=expired", "/console/events/{good}",
    "/console/events/{later}", "/console/events/{buried}", "/console/events/{buried}/replay", "/console/dead",
    "/console/dead/replay?type=orders.placed", "/console/dead/discard?type=orders.placed",
    "/console/dead?show=discarded", "/console/types/orders.placed/pause", "/console/events/{buried}/discard",
    "/console/events/cancel?type=orders.placed", "/console/schedules", "/console/schedules/nightly",
    "/console/schedules/nightly/edit", "/console/schedules/nightly/backfill", "/console/schedules/new",
    "/console/types", "/console/workers", "/console/send", "/console/keys", "/console/audit", "/console/audit/verify",
    "/console/strays", "/console/users", "/console/users/grace", "/console/dead/discard?all=1",
    "/console/events?q=nothing.like.it", "/console/nowhere",
)  # fmt: skip


def path_of(stage: Stage, template: str) -> str:
    return template.format(good=stage.good, later=stage.later, buried=stage.buried)


SCREENS = [(size, scheme) for scheme in ("light", "dark") for size in ("wide", "narrow")]


def violations(stage: Stage, size: str, scheme: str, templates: Sequence[str]) -> dict[str, list[str]]:
    """What is wrong with these pages on a screen, by page."""
    options = {"viewport": NARROW} if size == "narrow" else {}
    found = {}
    with stage.page(color_scheme=scheme, **options) as page:
        for template in templates:
            page.goto(path_of(stage, template))
            faults = stage.violations(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                faults.append("it is wider than the screen")
            if faults:
                found[template] = faults
    return found


@pytest.mark.parametrize("number", range(4))
def test_no_page_has_a_violation_nor_is_wider_than_the_screen(stage: Stage, number: int) -> None:
    assert not violations(stage, *SCREENS[number], PATHS[number::4])


@pytest.mark.heavy
@pytest.mark.parametrize("number", range(4))
def test_no_page_has_a_violation_on_any_screen(stage: Stage, number: int) -> None:
    assert not violations(stage, *SCREENS[number], PATHS)


#: What is not always there, or asks for something that is made first.
MORE = (
    "/console/events/{masked}/reveal", "/console/events/{later}/cancel", "/console/schedules/nightly/delete",
    "/console/schedules/nightly/pause", "/console/queues/periodic/pause", "/console/strays/{stray}",
    "/console/strays/{stray}/reveal", "/console/strays/{stray}/discard", "/console/keys/{key}/revoke",
    "/console/users/grace/remove",
    "/console/dead/discard?id={buried}", "/console/dead/replay?id={buried}", "/console/events?state=nope",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(stage: Stage) -> dict[str, str]:
    """Ids of what those pages are about."""
    masked = stage.send("orders.placed", phone="+49 170 1234567")
    key = stage.api("POST", "/v1/keys", {"name": "of-a-program", "role": "viewer"})["id"]
    [(stray,)] = stage.road.sql(
        "insert into millrace.strays (id, queue, reason, properties, headers, body)"
        " values (gen_random_uuid(), 'events', 'no ticket', '{}', '{\"argsrepr\": \"(7,)\"}', 'text')"
        " returning id::text"
    )
    return {"masked": masked, "key": key, "stray": stray}


@pytest.mark.heavy
@pytest.mark.parametrize("number", range(4))
def test_no_page_that_asks_has_a_violation_on_any_screen(stage: Stage, made: dict[str, str], number: int) -> None:
    paths = [path.format(**made, buried=stage.buried, later=stage.later) for path in MORE]
    assert not violations(stage, *SCREENS[number], paths)


@pytest.mark.heavy
@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_a_key_that_was_just_made_and_an_open_list_of_keys_have_no_violation(
    stage: Stage, size: str, scheme: str
) -> None:
    options = {"viewport": NARROW} if size == "narrow" else {}
    with stage.page(color_scheme=scheme, **options) as page:
        page.goto("/console/keys")
        page.fill("#k-name", f"made-{size}-{scheme}")
        page.click("button:has-text('Make a key')")
        page.wait_for_selector("#made")
        assert not stage.violations(page)
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        assert not stage.violations(page)


#: Tables and the like that reach beyond their card, and cannot be scrolled in it.
OUTSIDE = """[...document.querySelectorAll('.card :is(table, pre, form)')]
    .filter(it => getComputedStyle(it.parentElement).overflowX !== 'auto'
        && it.getBoundingClientRect().right > it.closest('.card').getBoundingClientRect().right + 1)
    .map(it => it.closest('.card').innerText.slice(0, 40))"""


def test_nothing_sticks_out_of_its_card_on_a_screen_that_is_just_wide_enough_for_all_columns(stage: Stage) -> None:
    found = {}
    with stage.page(viewport={"width": 1120, "height": 800}) as page:
        for template in PATHS:
            page.goto(path_of(stage, template))
            outside = page.evaluate(OUTSIDE)
            if outside or page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found[template] = outside
    assert not found


@pytest.fixture(scope="module")
def entrance(stage: Stage) -> str:
    """The same console where people must sign in, and one may."""
    stage.api("POST", "/v1/users", {"name": "ada", "role": "viewer", "password": "four words in a row"})
    return f"http://{stage.road.web(access='on').address}/console/sign-in"


@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_the_sign_in_page_has_no_violation(stage: Stage, entrance: str, size: str, scheme: str) -> None:
    options = {"viewport": NARROW} if size == "narrow" else {}
    with stage.page(color_scheme=scheme, **options) as page:
        page.goto(entrance)
        assert not stage.violations(page)
        page.fill("#user", "ada")
        page.fill("#pass", "not her password")
        page.click("button:has-text('Sign in')")
        expect(page.locator(".fault")).to_contain_text("do not match")
        assert not stage.violations(page)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_each_page_has_one_heading_and_runs_nothing_that_is_not_ours(stage: Stage) -> None:
    connection = http.client.HTTPConnection(stage.door.address, timeout=30 * PATIENCE)
    for template in PATHS:
        connection.request("GET", path_of(stage, template))
        answer = connection.getresponse()
        text = answer.read().decode()
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, template
        assert "unsafe" not in policy
        assert text.count("<h1") == 1, template
        assert text.count('<main id="main"') == 1, template
        assert " style=" not in text, template
        assert "<script>" not in text, template
        assert "no-store" in answer.headers["Cache-Control"], template
    connection.close()


def test_every_view_says_what_it_takes_to_call_it() -> None:
    import flask

    app = flask.Flask(__name__)
    app.register_blueprint(pages.pages)
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("console."):
            needed = access.needed(app.view_functions[rule.endpoint])
            assert needed is not None, rule
            if "POST" in (rule.methods or ()):
                assert needed not in (Permission.ASK,), rule


def test_without_a_script_everything_is_there(stage: Stage) -> None:
    letter = stage.dead()
    with stage.page(java_script_enabled=False) as page:
        page.goto("/console/events")
        page.select_option("#f-type", "orders.placed")
        page.check("input[name=state][value=dead]")
        page.click("button:has-text('Search')")
        expect(page).to_have_url(re.compile("type=orders.placed"))
        page.click(f"a[href='/console/events/{letter}']")
        page.click("text=Replay…")
        expect(page.locator("h1")).to_have_text("Replay this dead letter")
        page.goto("/console/schedules/new")
        page.fill("#o-name", "by-hand")
        page.select_option("#o-type", "orders.placed")
        page.fill("#o-when", "0 25 * * *")
        page.click("button:has-text('Preview')")
        expect(page.locator("#preview .notice")).to_contain_text("25")
        page.fill("#o-when", "0 3 * * *")
        page.click("button:has-text('Make it')")
        expect(page.locator("h1")).to_have_text("by-hand")
    assert stage.api("GET", "/v1/schedules/by-hand")["plan"]["cron"] == "0 3 * * *"


def test_times_are_by_the_viewers_clock(stage: Stage) -> None:
    with stage.page() as page:
        page.goto(f"/console/events/{stage.good}")
        page.wait_for_selector("[data-zone='Europe/Berlin']")
        utc = page.locator("#timeline time").first.get_attribute("datetime")
        assert utc is not None
        shown = page.locator("#timeline time").first.inner_text()
        assert shown[-12:-10] == f"{(int(utc[11:13]) + offset(page)) % 24:02d}"
        assert shown[-9:] == utc[14:23]


def offset(page: sync_api.Page) -> int:
    return int(page.evaluate("-new Date().getTimezoneOffset() / 60"))

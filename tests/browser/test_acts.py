"""What is clicked is done, and stands in the ledger."""

from __future__ import annotations

import re

import pytest
from playwright import sync_api
from playwright.sync_api import expect

from tests.browser.stage import Stage
from tests.patience import PATIENCE, wait

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

expect.set_options(timeout=8_000 * PATIENCE)


def to_be_typed(page: sync_api.Page) -> tuple[sync_api.Locator, str]:
    """Where a number must be typed before anything is done, and which."""
    confirm = page.locator("[data-confirm]")
    number = confirm.get_attribute("data-confirm")
    assert number is not None
    return confirm, number


def listens(page: sync_api.Page) -> None:
    """Wait until a page that was just reached hears keys: it offers the help for them only then."""
    expect(page.locator("[data-keys]")).to_be_visible()


def test_an_event_that_is_sent_by_the_form_is_worked_before_the_viewers_eyes(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/send?type=orders.placed")
    page.fill("#e-payload", '{"seconds": "long"}')
    page.click("button:has-text('Send')")
    expect(page.locator(".fault")).to_contain_text("/seconds")
    page.fill("#e-payload", '{"seconds": 0}')
    page.click("button:has-text('Send')")
    expect(page.locator("#answer .state")).to_have_text("succeeded")  # By polling: the page is not loaded again.
    event_id = page.url.rsplit("/", 1)[1]
    assert stage.event(event_id)["state"] == "succeeded"
    expect(page.locator("#timeline")).to_contain_text("Succeeded")


def test_an_event_is_cancelled_in_a_dialog(stage: Stage, page: sync_api.Page) -> None:
    event_id = stage.send("orders.placed", "?delay=3600", seconds=0)
    page.goto(f"/console/events/{event_id}")
    expect(page.locator("#explain .answer")).not_to_be_empty()
    page.click("#answer >> text=Cancel…")
    dialog = page.locator("#dialog")
    expect(dialog).to_be_visible()
    assert not stage.violations(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.click("#answer >> text=Cancel…")
    dialog.locator("button:has-text('Cancel the event')").click()
    expect(page.locator(".toast")).to_contain_text("cancelled")
    assert stage.event(event_id)["state"] == "cancelled"


def test_a_dead_letter_is_replayed_with_another_payload(stage: Stage, page: sync_api.Page) -> None:
    old = stage.dead()
    page.goto(f"/console/events/{old}")
    page.click("#answer >> text=Replay…")
    page.fill("#dialog textarea", '{"do": "work"}')
    page.click("#dialog button:has-text('Replay')")
    expect(page.locator(".toast")).to_contain_text("Replayed")
    new = stage.event(page.url.rsplit("/", 1)[1])
    assert stage.event(old)["replayed_as"] == new["id"]
    assert new["replay_of"] == old
    assert new["payload"] == {"do": "work"}


def test_dead_letters_are_replayed_only_when_the_number_is_typed(stage: Stage, page: sync_api.Page) -> None:
    letters = [stage.dead() for _ in range(3)]
    page.goto("/console/dead?type=orders.placed&reason=discarded&within=hour")
    page.click("text=Replay all of them…")
    confirm, number = to_be_typed(page)
    assert int(number) >= 3
    button = page.locator("#dialog [data-confirmed]")
    button.click(force=True)  # It says that it is not ready, and why.
    expect(page.locator(".toast")).to_contain_text(f"Type {number} first")
    assert stage.event(letters[0])["replayed_as"] is None
    confirm.fill(number)
    button.click()
    expect(page.locator(".toast")).to_contain_text(f"{number} dead letters replayed")
    assert all(stage.event(letter)["replayed_as"] for letter in letters)


def test_dead_letters_are_discarded_only_when_the_number_is_typed(stage: Stage, page: sync_api.Page) -> None:
    letters = [stage.dead() for _ in range(2)]
    page.goto("/console/dead?type=orders.placed&reason=discarded&within=hour")
    page.click("text=Discard all of them…")
    confirm, number = to_be_typed(page)
    assert int(number) >= 2
    assert not stage.violations(page)
    page.locator("#dialog [data-confirmed]").click(force=True)
    expect(page.locator(".toast")).to_contain_text(f"Type {number} first")
    assert stage.event(letters[0])["discarded_at"] is None
    page.fill("#dialog [name=because]", "made by a test")
    confirm.fill(number)
    page.locator("#dialog [data-confirmed]").click()
    expect(page.locator(".toast")).to_contain_text(f"{number} dead letters discarded")
    assert all(stage.event(letter)["discarded_at"] for letter in letters)
    page.goto("/console/dead?show=discarded")
    expect(page.locator("#results")).to_contain_text("discarded by console: made by a test")
    assert not stage.violations(page)


def test_one_dead_letter_is_discarded_from_its_page(stage: Stage, page: sync_api.Page) -> None:
    letter = stage.dead()
    page.goto(f"/console/events/{letter}")
    page.click("#answer >> text=Discard…")
    page.click("#dialog button:has-text('Discard')")
    expect(page.locator(".toast")).to_contain_text("discarded")
    expect(page.locator("#timeline")).to_contain_text("Discarded: nothing more was to come of it")


def test_nothing_is_replayed_when_the_number_has_changed_meanwhile(stage: Stage, page: sync_api.Page) -> None:
    one, another = stage.dead(), stage.dead()
    page.goto("/console/dead?type=orders.placed&reason=discarded")
    page.click("text=Replay all of them…")
    confirm, number = to_be_typed(page)
    confirm.fill(number)
    stage.api("POST", f"/v1/events/{another}/discard")  # What comes meanwhile changes nothing; what goes, does.
    page.locator("#dialog [data-confirmed]").click()
    expect(page.locator("h1")).to_contain_text("not the number of events by now")
    assert stage.event(one)["replayed_as"] is None


def test_selected_dead_letters_are_replayed(stage: Stage, page: sync_api.Page) -> None:
    one, another = stage.dead(), stage.dead()
    page.goto("/console/dead")
    page.check(f"input[value='{one}']")
    expect(page.locator("#picked")).to_have_text("1 selected")
    page.click("text=Replay the selected…")
    page.click("button:has-text('Replay 1')")
    expect(page.locator(".toast")).to_contain_text("1 dead letter replayed")
    assert stage.event(one)["replayed_as"]
    assert stage.event(another)["replayed_as"] is None


def test_open_events_are_cancelled_by_their_filter(stage: Stage, page: sync_api.Page) -> None:
    ids = [stage.send("invoices.written", "?delay=3600", seconds=0) for _ in range(2)]
    page.goto("/console/events?type=invoices.written&within=hour")
    page.click("text=Cancel the open ones…")
    page.locator("#dialog [data-confirm]").fill("2")
    page.locator("#dialog [data-confirmed]").click()
    expect(page.locator(".toast")).to_contain_text("2 events were cancelled")
    assert {stage.event(one)["state"] for one in ids} == {"cancelled"}


def test_a_type_is_paused_and_goes_on(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/types")
    page.locator("#type-mails-sent >> text=Pause…").click()
    expect(page.locator("#dialog h1")).to_have_text("Pause the type mails.sent?")
    assert not stage.violations(page)
    page.fill("#dialog [name=because]", "the relay is down")
    page.click("#dialog button:has-text('Pause')")
    expect(page.locator(".toast")).to_contain_text("mails.sent is paused")
    expect(page.locator("#type-mails-sent")).to_contain_text("the relay is down")
    [pause] = stage.api("GET", "/v1/pauses")["pauses"]
    assert (pause["name"], pause["by"], pause["because"]) == ("mails.sent", "console", "the relay is down")
    page.goto("/console")
    expect(page.locator("#attention")).to_contain_text("mails.sent is paused")
    expect(page.locator("#attention")).to_contain_text("the relay is down")
    page.locator("#attention button:has-text('Resume')").click()
    expect(page.locator(".toast")).to_contain_text("goes on")
    assert stage.api("GET", "/v1/pauses")["pauses"] == []


def test_a_queue_is_paused_and_goes_on(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/types")
    page.locator("#queues tr", has_text="periodic").locator("text=Pause…").click()
    page.click("#dialog button:has-text('Pause')")
    page.get_by_role("button", name="Resume the queue periodic").click()
    expect(page.locator(".toast")).to_contain_text("The queue periodic goes on")
    assert stage.api("GET", "/v1/pauses")["pauses"] == []


def test_a_schedule_is_made_previewed_paused_run_changed_and_deleted(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/schedules/new")
    page.fill("#o-name", "hourly")
    page.select_option("#o-type", "orders.placed")
    page.fill("#o-tz", "Europe/Berlin")
    page.fill("#o-when", "15 * * * *")
    expect(page.locator("#preview")).to_contain_text("at minute 15")  # While it is typed.
    page.click("button:has-text('Make it')")
    expect(page.locator("h1")).to_have_text("hourly")

    page.click(".head >> text=Pause…")
    page.click("#dialog button:has-text('Pause')")
    expect(page.locator("h1 + .state")).to_have_text("paused")
    assert stage.api("GET", "/v1/schedules/hourly")["state"] == "paused"
    page.click("button:has-text('Resume')")
    expect(page.locator("h1 + .slot")).to_have_text("active")

    page.click("button:has-text('Run now')")
    expect(page).to_have_url(re.compile("/console/events/"))
    assert stage.event(page.url.rsplit("/", 1)[1])["schedule"] == "hourly"

    page.goto("/console/schedules/hourly/edit")
    page.fill("#o-when", "45 * * * *")
    page.click("button:has-text('Change it')")
    expect(page.locator("h1")).to_have_text("hourly")
    assert stage.api("GET", "/v1/schedules/hourly")["plan"]["cron"] == "45 * * * *"

    page.click("text=Delete…")
    page.locator("#dialog [data-confirm]").fill("hourly")
    page.locator("#dialog [data-confirmed]").click()
    expect(page.locator(".toast")).to_contain_text("hourly was deleted")
    names = [one["name"] for one in stage.api("GET", "/v1/schedules")["schedules"]]
    assert "hourly" not in names


def test_a_change_is_refused_when_somebody_was_faster(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/schedules/nightly/edit")
    stage.api("POST", "/v1/schedules/nightly/pause")
    stage.api("POST", "/v1/schedules/nightly/resume")
    page.click("button:has-text('Change it')")
    expect(page.locator("h1")).to_contain_text("changed meanwhile")


def test_gaps_of_a_schedule_are_filled(stage: Stage, page: sync_api.Page) -> None:
    plan = {"every": 3600}
    stage.api("POST", "/v1/schedules", {"name": "gappy", "type": "orders.placed", "plan": plan, "payload": {}})
    page.goto("/console/schedules/gappy")
    page.click("text=Backfill…")
    page.locator("#dialog button:has-text('Count them')").click()
    confirm, number = to_be_typed(page)
    assert number == "24"
    confirm.fill(number)
    page.locator("[data-confirmed]").click()
    expect(page.locator(".toast")).to_contain_text("24 instants became events")
    slots = stage.api("GET", "/v1/schedules/gappy/slots")["slots"]
    assert [slot["outcome"] for slot in slots] == ["backfilled"] * 24


def test_a_key_is_made_shown_once_and_revoked(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/keys")
    page.fill("#k-name", "shop-frontend")
    page.click("button:has-text('Make a key')")
    text = page.locator("#made").inner_text()
    assert text.startswith("mr_") or len(text) > 20
    page.goto("/console/keys")
    assert page.locator(f"text={text}").count() == 0
    page.get_by_role("link", name="Revoke… shop-frontend").click()
    assert not stage.violations(page)
    page.locator("#dialog [data-confirm]").fill("shop-frontend")
    page.click("#dialog button:has-text('Revoke')")
    expect(page.locator(".toast")).to_contain_text("revoked")
    assert stage.api("GET", "/v1/keys")["keys"] == []
    page.goto("/console/audit")
    expect(page.locator("tbody")).to_contain_text("key.revoked")


def test_a_payload_is_masked_until_somebody_says_why_it_must_be_seen(stage: Stage, page: sync_api.Page) -> None:
    event_id = stage.send("orders.placed", phone="+49 170 1234567")
    page.goto(f"/console/events/{event_id}")
    expect(page.locator("pre.json").last).not_to_contain_text("1234567")
    page.click("text=Reveal…")
    page.fill("#v-reason", "a customer asks")
    page.click("#dialog button:has-text('Reveal')")
    expect(page.locator("pre.json").last).to_contain_text("1234567")
    entry = stage.api("GET", "/v1/audit?act=payload.revealed")["audit"][0]
    assert (entry["target"], entry["detail"]["reason"]) == (event_id, "a customer asks")


def test_a_user_is_added_changed_disabled_and_removed_by_the_keyboard(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console")
    page.keyboard.press("g")
    page.keyboard.press("u")
    expect(page.locator("h1")).to_have_text("Users")
    page.fill("#u-name", "ada")
    page.fill("#u-password", "ada")
    page.locator("form:has(#u-password)").evaluate("form => form.noValidate = true")
    page.click("button:has-text('Add the user')")
    expect(page.locator(".fault")).to_contain_text("12 to 256 characters")
    assert not stage.violations(page)
    page.fill("#u-password", "correct horse battery staple")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("ada may sign in as viewer")
    listens(page)
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("ada")
    page.select_option("#u-role", "operator")
    page.click("button:has-text('Change the role')")
    expect(page.locator(".toast")).to_contain_text("ada is operator")
    page.fill("#u-password", "another correct horse battery")
    page.click("button:has-text('Set the password')")
    expect(page.locator(".toast")).to_contain_text("another password")
    page.click("button:has-text('Disable')")
    expect(page.locator(".head")).to_contain_text("disabled")
    [user] = [one for one in stage.api("GET", "/v1/users")["users"] if one["name"] == "ada"]
    assert (user["role"], user["disabled"], user["created_by"]) == ("operator", True, "console")
    page.click("text=Remove…")
    assert not stage.violations(page)
    page.locator("#dialog [data-confirm]").fill("ada")
    page.click("#dialog button:has-text('Remove')")
    expect(page.locator(".toast")).to_contain_text("ada is removed")
    assert "ada" not in [one["name"] for one in stage.api("GET", "/v1/users")["users"]]


def test_a_form_of_another_site_does_nothing(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/types")
    for origin in ("http://localhost:1", "https://evil.example"):
        answer = page.request.post("/console/types/mails.sent/pause", headers={"Origin": origin})
        assert answer.status == 403
    assert stage.api("GET", "/v1/pauses")["pauses"] == []


def test_new_events_are_offered_and_the_rows_do_not_move(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console/events")
    first = page.locator("tbody tr").first.inner_text()
    stage.send("orders.placed", seconds=0)
    expect(page.locator("#fresh")).to_contain_text("newer", timeout=15_000 * PATIENCE)
    assert page.locator("tbody tr").first.inner_text() == first
    page.keyboard.press(".")
    expect(page.locator("tbody tr").first).not_to_have_text(first)


def test_the_keyboard_finds_goes_and_opens(stage: Stage, page: sync_api.Page) -> None:
    page.goto("/console")
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type(stage.good)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/console/events/{stage.good}"))
    listens(page)
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.locator("h1")).to_have_text("Dead letters")
    listens(page)
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.locator("h1")).to_have_text("Events")
    listens(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    opened = page.locator("tbody tr").nth(1).locator("a").first.get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(str(opened)))
    listens(page)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()


def test_the_key_r_replays_a_dead_letter(stage: Stage, page: sync_api.Page) -> None:
    letter = stage.dead()
    page.goto("/console/dead")
    page.locator(f"tr:has(input[value='{letter}']) a").first.focus()  # Above it are groups, when there are two alike.
    page.keyboard.press("r")
    expect(page.locator("#dialog h1")).to_have_text("Replay this dead letter")
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    page.goto(f"/console/events/{letter}")
    page.keyboard.press("r")
    expect(page.locator("#dialog h1")).to_have_text("Replay this dead letter")
    page.click("#dialog button:has-text('Replay')")
    expect(page.locator(".toast")).to_contain_text("Replayed")
    assert stage.event(letter)["replayed_as"]


def test_figures_that_cannot_be_had_stay_and_say_how_old_they_are(stage: Stage) -> None:
    with stage.page(strict=False) as page:
        page.goto("/console")
        expect(page.locator("#pulse")).to_contain_text("live")
        page.route("**/console/live/**", lambda route: route.abort())
        wait(lambda: "no answer since" in page.locator("#pulse").inner_text(), 10, "the page says so", step=0.1)
        assert page.locator("main > .stale").count() > 0
        assert page.locator("#race .value").first.inner_text() != ""
        page.unroute("**/console/live/**")
        expect(page.locator("main > .stale")).to_have_count(0)
        page.click("text=Pause live view")
        expect(page.locator("#pulse")).to_contain_text("paused")

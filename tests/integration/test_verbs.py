"""The operator's verbs on the host, what they do, say and return."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import click
import pydantic
import pytest
from click.testing import CliRunner, Result

from service import cli
from service.client import Client
from service.domain import handlers, processes
from service.ledger.processes import ProcessLedger
from service.ledger.upkeep import Upkeep
from service.local import ports
from service.verbs import chapters
from tests import memory
from tests.front import served
from tests.ledgers import Ledger
from tests.patience import PATIENCE
from tests.producers import Moody
from workers import face

pytestmark = pytest.mark.postgres

WIDTH = 80
ROOT = pathlib.Path(__file__).parents[2]
OF_SCHEDULES = ("show", "create", "edit", "pause", "resume", "run", "backfill", "delete", "slots", "preview", "year")
VERBS = (
    "send", "events", "events list", "events show", "events explain", "events wait", "events cancel", "events replay",
    "types", "queues", "workers", "clocks", "processes", "deploys", "completion", "status", "dead groups",
    "dead replay", "dead discard",
    "cancel", "pause", "resume", "pauses", "dead", "replay", "strays", "strays show", "strays discard", "schedules",
    *(f"schedules {verb}" for verb in OF_SCHEDULES), "keys", "keys create", "keys list", "keys rotate", "keys revoke",
    "users", "users add", "users list", "users password", "users remove", "users sessions", "users sign-out",
    "users role", "users disable", "users enable", "audit", "audit list", "audit verify",
    "retention",
)  # fmt: skip

Millrace = Callable[..., Result]


class Step(pydantic.BaseModel):
    do: str
    times: int = 0


def run(*words: str, stdin: str = "", **environment: str) -> Result:
    """One command; every line of it fits a terminal of 80 columns, and it never ends in a traceback."""
    clean = {name: None for name in os.environ if name.startswith("MILLRACE_")}
    done = CliRunner().invoke(cli.main, words, input=stdin, env={**clean, **environment}, prog_name="millrace")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert [
        one for one in done.stdout.splitlines() if len(one) > WIDTH and not {"--json", "completion"} & {*words}
    ] == []
    return done


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests keeps its logs and its apps."""
    monkeypatch.setattr("service.telemetry.logging.configure", lambda *args: None)
    monkeypatch.setattr("service.telemetry.logging.set_level", lambda *args: None)
    monkeypatch.setattr("service.plugins.load", lambda *args: None)


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)

    def fail(payload: Any, ctx: Any) -> None:
        raise RuntimeError("the warehouse did not answer: \x1b[31m" + "connection refused " * 10)

    ledger.handler("ledger.step", fail, attempts=1, payload=Step, parse=face.parser(Step))
    ledger.handler("ledger.alone", print, bundle=1)
    yield ledger
    ledger.check()


@pytest.fixture(params=["host", "http"])
def millrace(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Millrace]:
    """A command on this ledger, without a broker: on the host, or over HTTP at a door that somebody else has opened."""
    if request.param == "host":
        monkeypatch.setattr("service.plugins.registry", ledger.registry)
        yield lambda *words, stdin="": run(*words, stdin=stdin, MILLRACE_DATABASE_URL=ledger.url)
        return
    with served(ledger) as url:
        yield lambda *words, stdin="": run(*words, stdin=stdin, MILLRACE_URL=url)


def test_every_verb_explains_itself_on_80_columns() -> None:
    for verb in VERBS:
        assert len(run(*verb.split(), "--help").stdout.splitlines()) > 5
    listed = run("--help").stdout
    assert all(f"  {verb} " in listed for verb in VERBS if " " not in verb)


def test_every_verb_stands_in_one_chapter_of_the_help() -> None:
    named = [verb for verbs in chapters.CHAPTERS.values() for verb in verbs]
    assert sorted(named) == sorted(cli.main.commands)


def test_events_are_cancelled_by_id_and_by_filter(ledger: Ledger, millrace: Millrace) -> None:
    first, *_ = ledger.post("ledger.alone", *range(4))
    done = millrace("cancel", first, "00000000-0000-7000-8000-000000000000")
    assert done.exit_code == 1  # One was refused.
    assert done.stdout.splitlines()[0] == f"{first}  cancelled"
    assert "there is no event" in done.stdout.splitlines()[1]
    assert "3" in millrace("cancel", "--type", "ledger.alone", "--dry-run").stdout
    refused = millrace("cancel", "--type", "ledger.alone", stdin="n\n")
    assert (refused.exit_code, "Cancel 3 events?" in refused.stderr) == (1, True)
    assert ledger.states() == {"pending": 3, "cancelled": 1}
    done = millrace("cancel", "--type", "ledger.alone", "--yes", "--json")
    assert json.loads(done.stdout) == {"cancelled": 3, "stopping": 0, "left": 0}
    assert (ledger.states(), ledger.tickets()) == ({"cancelled": 4}, [])


def test_a_type_and_a_queue_are_paused_listed_and_resumed(millrace: Millrace) -> None:
    said = millrace("pause", "ledger.alone", "--by", "ada").stdout
    assert said.startswith("the type ledger.alone is paused since 20")
    assert said.endswith("UTC by ada\n")
    millrace("pause", "--queue", "events")
    assert [(p["kind"], p["name"]) for p in json.loads(millrace("pauses", "--json").stdout)] == [
        ("queue", "events"), ("type", "ledger.alone"),
    ]  # fmt: skip
    assert "ledger.alone" in millrace("pauses").stdout
    assert millrace("resume", "ledger.alone").stdout == "the type ledger.alone goes on\n"
    assert millrace("resume", "ledger.alone").stdout == "the type ledger.alone was not paused\n"
    unknown = millrace("pause", "no.such")
    assert (unknown.exit_code, unknown.stderr) == (1, "millrace: there is no event type 'no.such'\n")


def test_how_it_is_in_the_words_of_the_console(ledger: Ledger, millrace: Millrace) -> None:
    ledger.sql("insert into millrace.clocks (name, calendar) values ('h:7', 'x')")
    *_, died = ledger.post("ledger.step", {"do": "add"}, {"do": "add"}, {"do": "add"})
    ledger.work()
    ledger.post("ledger.alone", 1, delay=3600.0)
    millrace("pause", "ledger.alone", "--by", "ada", "--because", "the relay is down")
    said = millrace("status").stdout
    assert said.splitlines()[0].startswith("Flowing; two things want a look (20")
    for part in (
        "warning: ledger.step has 3 dead letters, attempts used up",
        "  millrace dead --type ledger.step --reason attempts",
        "warning: ledger.alone is paused, 0 events wait", "the relay is down", "  millrace resume ledger.alone",
        "last hour: 4 accepted, 0 worked, 3 ended as dead letters", "open: 1 event, 0 due, 1 later",
        "dead letters: 3 open (millrace dead groups)", "there: 0 workers with 0 of 0 places busy, 0 clocks",
    ):  # fmt: skip
        assert part in said, part
    assert "\x1b" not in said
    found = json.loads(millrace("status", "--json").stdout)
    assert (found["open"]["later"], found["dead"]["open"]) == (1, 3)
    assert len(millrace("status", "--all").stdout) >= len(said)
    groups = millrace("dead", "groups").stdout
    assert all(part in groups for part in ("ledger.step", died, "RuntimeError:", "3 open"))
    assert json.loads(millrace("dead", "groups", "--json").stdout)["groups"][0]["count"] == 3
    assert "there are 3 of them" in millrace("events", "list", "--count", "--state", "dead", "--limit", "1").stdout
    assert "in fail" in millrace("events", "show", died).stdout


def test_dead_letters_are_listed_and_replayed(ledger: Ledger, millrace: Millrace, tmp_path: pathlib.Path) -> None:
    *fit, unfit = found = ledger.post("ledger.step", {"do": "add"}, {"do": "add"}, {"do": "add", "times": "x"})
    ledger.work()

    shown = millrace("dead")
    assert all(i in shown.stdout for i in found)
    assert "\x1b" not in shown.stdout  # Whatever a message says, it does not steer the terminal.
    dry = millrace("replay", "--type", "ledger.step", "--dry-run")
    assert "2 would be replayed, 1 left" in dry.stdout
    assert ledger.states() == {"dead": 3}

    new = json.loads(millrace("replay", fit[0], "--by", "ada", "--json").stdout)[0]["replayed_as"]
    again = millrace("replay", fit[0])
    assert (again.exit_code, f"it was replayed as {new} by ada" in " ".join(again.stdout.split())) == (1, True)
    assert f"→ {new}" in millrace("dead", "--replayed").stdout
    done = millrace("replay", "--type", "ledger.step", "--yes")
    assert "1 replayed, 1 left" in done.stdout

    refused = millrace("replay", unfit)
    assert (refused.exit_code, "/times" in refused.stdout) == (1, True)
    mended = tmp_path / "mended.json"
    mended.write_text('{"do": "add", "times": 1}')
    assert millrace("replay", unfit, "--payload", str(mended)).exit_code == 0
    assert ledger.states() == {"dead": 3, "pending": 3}
    page = json.loads(millrace("dead", "--limit", "2", "--json").stdout)
    rest = json.loads(millrace("dead", "--cursor", page["next_cursor"], "--json").stdout)
    assert (len(page["dead"]), len(rest["dead"]), rest["next_cursor"]) == (2, 1, None)


def test_dead_letters_are_discarded_by_id_and_by_filter_and_why_is_kept(ledger: Ledger, millrace: Millrace) -> None:
    first, *rest = sorted(ledger.post("ledger.step", *({"do": "add"} for _ in range(4))))
    ledger.work()
    done = millrace("dead", "discard", first, rest[0], "--because", "test data", "--by", "ada")
    assert (done.exit_code, done.stdout.splitlines()) == (0, [f"{first}  discarded", f"{rest[0]}  discarded"])
    again = millrace("dead", "discard", first)
    assert (again.exit_code, "it was discarded by ada" in " ".join(again.stdout.split())) == (1, True)
    assert first not in millrace("dead").stdout
    assert "discarded by ada" in millrace("dead", "--discarded").stdout
    assert "2" in millrace("dead", "discard", "--type", "ledger.step", "--dry-run").stdout
    refused = millrace("dead", "discard", "--type", "ledger.step", stdin="n\n")
    assert (refused.exit_code, "Discard 2 dead letters?" in refused.stderr) == (1, True)
    found = json.loads(millrace("dead", "discard", "--type", "ledger.step", "--yes", "--json").stdout)
    assert found == {"discarded": 2, "left": 0, "types": {"ledger.step": 2}}
    assert ledger.sql("select distinct detail->>'because' from millrace.audit order by 1") == [("test data",), (None,)]
    assert ledger.states() == {"dead": 4}
    assert millrace("dead", "discard").exit_code == 2


@pytest.mark.parametrize("verb", [("replay",), ("dead", "discard")])
def test_all_dead_letters_are_meant_when_their_number_is_typed(
    ledger: Ledger, millrace: Millrace, verb: tuple[str, ...]
) -> None:
    ledger.post("ledger.step", {"do": "add"}, {"do": "add"})
    ledger.work()
    handled = "select count(*) from millrace.dead where replayed_as is not null or discarded_at is not null"
    assert "or --all" in millrace(*verb).stderr
    assert millrace(*verb, "--all", "--type", "ledger.step").exit_code == 2
    assert "2" in millrace(*verb, "--all", "--dry-run").stdout
    for typed in ("y\n", "3\n"):
        refused = millrace(*verb, "--all", stdin=typed)
        assert (refused.exit_code, "that is not 2" in refused.stderr) == (1, True)
        assert ledger.sql(handled) == [(0,)]
    assert millrace(*verb, "--all", stdin="2\n").exit_code == 0
    assert ledger.sql(handled) == [(2,)]


def test_why_something_is_paused_is_asked_and_told(millrace: Millrace) -> None:
    millrace("pause", "ledger.alone", "--because", "the map service is down")
    assert "the map service is down" in " ".join(millrace("pauses").stdout.split())
    assert json.loads(millrace("pauses", "--json").stdout)[0]["because"] == "the map service is down"


def test_strays_are_listed_shown_and_discarded(ledger: Ledger, millrace: Millrace) -> None:
    message = type("Foreign", (), {"body": b"\x00", "properties": {"content_type": "text/plain"}})
    Upkeep(ledger.engine).file_stray("events", "rejected", message)
    [stray] = json.loads(millrace("strays", "--json").stdout)["strays"]
    assert stray["id"] in millrace("strays").stdout
    assert json.loads(millrace("strays", "show", stray["id"]).stdout)["body"] is None
    assert json.loads(millrace("strays", "show", stray["id"], "--reveal", "who sends it?").stdout)["body"] == "AA=="
    assert millrace("strays", "discard", stray["id"]).stdout == f"{stray['id']}  discarded\n"
    assert millrace("strays", "discard", stray["id"]).exit_code == 1


def test_an_event_is_sent_shown_explained_and_waited_for(
    ledger: Ledger, millrace: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.calls.GLANCE", 20.0 * PATIENCE)
    sent = millrace("send", "ledger.alone", '{"order": 7}', "--by", "ada", "--key", "seven").stdout.strip()
    assert millrace("send", "ledger.alone", '{"order": 7}', "--by", "ada", "--key", "seven").stdout.strip() == sent
    assert ledger.sql("select id::text, producer from millrace.events") == [(sent, "ada")]
    delayed = millrace("send", "ledger.alone", "-", "--delay", "2h", stdin="[1]")
    later = delayed.stdout.strip()
    assert re.fullmatch(r"scheduled: it should start at [-\d]+ [:\d]+ UTC\n", delayed.stderr)
    listed = millrace("events", "list", "--limit", "1").stdout
    assert (later in listed, sent in listed, "scheduled" in listed) == (True, False, True)
    cursor = re.search("--cursor (\\S+)", listed)
    assert cursor is not None
    assert sent in millrace("events", "list", "--cursor", cursor[1]).stdout
    found = json.loads(millrace("events", "list", "--producer", "ada", "--state", "pending", "--json").stdout)
    assert [event["id"] for event in found["events"]] == [sent]
    shown = millrace("events", "show", sent).stdout
    assert all(
        re.search(line, shown) for line in ("type +ledger.alone", "state +pending, queued", "producer +ada", "order")
    )
    assert json.loads(millrace("events", "show", later, "--json").stdout)["payload"] == [1]
    assert "UTC" in millrace("events", "explain", later).stdout
    assert json.loads(millrace("events", "explain", later, "--json").stdout)["reason"] == "scheduled"
    late = millrace("events", "wait", sent, "--timeout", "0.2")
    assert (late.exit_code, "is still pending after 0.2 s" in late.stderr) == (1, True)
    assert millrace("events", "cancel", later).stdout == f"{later}  cancelled\n"
    ledger.work()
    assert re.search("state +succeeded", millrace("events", "wait", sent).stdout)
    assert millrace("events", "wait", later).exit_code == 1
    gone = millrace("events", "show", "00000000-0000-7000-8000-000000000000")
    assert (gone.exit_code, "there is no event" in gone.stderr) == (1, True)
    wrong = millrace("send", "ledger.step", '{"do": 1}')
    assert (wrong.exit_code, "millrace: /do: " in wrong.stderr) == (1, True)


def test_who_sends_what_must_wait_is_told_why(millrace: Millrace) -> None:
    millrace("pause", "ledger.alone")
    sent = millrace("send", "ledger.alone", "1")
    assert sent.stderr == f"paused: `millrace events explain {sent.stdout.strip()}` says more\n"
    millrace("resume", "ledger.alone")
    assert millrace("send", "ledger.alone", "1").stderr == ""


def test_a_file_of_events_is_sent_and_refused_lines_are_told(
    ledger: Ledger, millrace: Millrace, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.verbs.sending.PART", 3)
    lines = [json.dumps({"type": "ledger.alone", "payload": n, "key": f"k{n}"}) for n in range(7)]
    lines[4] = json.dumps({"type": "ledger.step", "payload": {"do": "add", "times": "x"}})
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(lines) + "\n\n")
    for _ in range(2):  # Each has a key: nothing comes twice.
        done = millrace("send", "--lines", str(file))
        assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "6 accepted, 1 refused")
        assert done.stdout.startswith("line 5  refused: ")
    assert ledger.states() == {"pending": 6}
    assert json.loads(millrace("send", "--lines", "-", "--json", stdin=lines[0]).stdout) == {
        "accepted": 1,
        "refused": [],
    }
    broken = millrace("send", "--lines", "-", stdin="[]\n")
    assert (broken.exit_code, "line 1: an object like" in broken.stderr) == (1, True)


def test_what_is_there_is_listed(ledger: Ledger, millrace: Millrace) -> None:
    process = processes.Process(processes.Kind.WORKER, "host-1", 4711, "1.0", ("ledger.alone",), ("events",), slots=2)
    held = processes.Held(4712, "ledger.alone", "ticket", 1, 3.0)
    ProcessLedger(ledger.engine).note(process, processes.Note(60.0, True, (held,)))
    ledger.post("ledger.alone", 1, 2)
    millrace("pause", "--queue", "events", "--by", "ada")
    assert re.search("ledger.alone +events +paused", millrace("types").stdout)
    assert {one["name"] for one in json.loads(millrace("types", "--json").stdout)} == {"ledger.alone", "ledger.step"}
    assert re.search(r"events +\d +\d +0 .* 1 +20.* ada", millrace("queues").stdout)
    assert {one["name"] for one in json.loads(millrace("queues", "--json").stdout)} == {"events", "periodic"}
    assert re.search("host-1:4711 .* ago\n  takes events .*\n  at ledger.alone, ", millrace("workers").stdout)
    assert [one["pid"] for one in json.loads(millrace("workers", "--json").stdout)] == [4711]
    assert "process" in millrace("clocks").stdout
    assert json.loads(millrace("clocks", "--json").stdout) == []
    assert re.search(r"host-1:4711 .*worker +1\.0 .* ago", millrace("processes").stdout)
    assert json.loads(millrace("processes", "--kind", "web", "--json").stdout) == []
    assert re.search(r"20\d\d.* worker +1\.0", millrace("deploys", "--days", "1").stdout)
    assert [one["version"] for one in json.loads(millrace("deploys", "--json").stdout)] == ["1.0"]


def test_an_address_where_nobody_is_and_a_key_that_is_refused_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.verbs.api.DEADLINE", 0.2)
    url = f"http://127.0.0.1:{ports.free()}"
    away = run("cancel", "1", "2", "--url", url)  # The second is not even tried.
    assert (away.exit_code, away.stdout) == (1, "")
    assert re.match(
        f"millrace: {url}: ConnectError: .* \\(is Millrace there, and MILLRACE_URL or --url right\\?\\)\n", away.stderr
    )
    refused = Moody(401)
    monkeypatch.setattr("service.client.Client", functools.partial(Client, transport=refused))
    told = run("pauses", MILLRACE_URL=url, MILLRACE_API_KEY="mr_secret")
    assert "MILLRACE_API_KEY" in told.stderr
    assert "mr_secret" not in told.stderr
    assert refused.requests[0].headers["Authorization"] == "Bearer mr_secret"


def test_a_schedule_is_made_changed_paused_run_filled_and_deleted(ledger: Ledger, millrace: Millrace) -> None:
    made = millrace(
        "schedules", "create", "nightly", "--type", "ledger.alone", "--cron", "0 3 * * *", "--payload", "[]"
    )
    assert (made.exit_code, "millrace: /payload: the payload of the schedule nightly" in made.stderr) == (1, True)
    made = millrace("schedules", "create", "nightly", "--type", "ledger.alone", "--every", "1h", "--overlap", "skip")
    assert made.stdout.startswith("nightly: every")
    assert "active, next at 20" in made.stdout
    assert "nightly" in millrace("schedules").stdout
    done = millrace(
        "schedules", "edit", "nightly", "--cron", "0 3 * * *", "--tz", "Europe/Berlin", "--unset", "overlap"
    )
    assert "Europe/Berlin" in done.stdout
    shown = json.loads(millrace("schedules", "show", "nightly").stdout)
    assert (shown["plan"], shown["overlap"], shown["revision"]) == (
        {"cron": "0 3 * * *", "tz": "Europe/Berlin"},
        "allow",
        2,
    )
    stale = millrace("schedules", "edit", "nightly", "--every", "1h", "--revision", "1")
    assert (stale.exit_code, "its revision is 2, not 1" in " ".join(stale.stderr.split())) == (1, True)
    assert millrace("schedules", "pause", "nightly", "none").stdout.splitlines()[0] == "nightly  paused"
    assert [s["state"] for s in json.loads(millrace("schedules", "--state", "paused", "--json").stdout)["schedules"]]
    assert millrace("schedules", "resume", "nightly").stdout == "nightly  active\n"
    event = millrace("schedules", "run", "nightly").stdout.strip()
    assert ledger.sql("select id::text, schedule from millrace.events") == [(event, "nightly")]
    days = ("--since", "2026-01-01T00:00Z", "--until", "2026-01-03T00:00Z")
    dry = millrace("schedules", "backfill", "nightly", *days, "--dry-run").stdout
    assert dry == "of 2 instants 2 would be events, 0 were before\n"
    assert "(Europe/Berlin)" in millrace("schedules", "preview", "nightly", "--next", "3").stdout
    year = millrace("schedules", "year", "nightly", "2027").stdout
    assert "365 in 2027 (Europe/Berlin)" in year
    assert re.search("2027-03 +31 +31 +2027-03-28: ", year)
    assert json.loads(millrace("schedules", "year", "nightly", "2027", "--json").stdout)["total"] == 365
    asked = millrace("schedules", "backfill", "nightly", *days, stdin="n\n")
    assert (asked.exit_code, "Make 2 events?" in asked.stderr) == (1, True)
    done = millrace("schedules", "backfill", "nightly", *days, "--yes", "--limit", "1").stdout
    assert done == "of 2 instants 1 are events now, 0 were before; there are more: ask again\n"
    told = millrace("schedules", "slots", "nightly").stdout
    assert "run_now" in told
    assert "2026-01-01 02:00:00" in told
    assert millrace("schedules", "delete", "nightly", "--yes").stdout == "nightly  deleted\n"
    gone = millrace("schedules", "show", "nightly")
    assert (gone.exit_code, gone.stderr) == (1, "millrace: there is no schedule 'nightly'\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["schedules", "edit", "s"], "name what is to be changed"),
        (["schedules", "create", "s", "--payload", "{"], "JSON is wanted"),
        (["cancel"], "give either IDs or a filter"),
        (["replay", "1", "--type", "a.b"], "give either IDs or a filter"),
        (["replay", "1", "--dry-run"], "--dry-run goes with a filter"),
        (["pause"], "give either a TYPE or --queue NAME"),
        (["dead", "--since", "yesterday"], "date, time and zone are wanted"),
        (["dead", "--cursor", "x"], "--url (or MILLRACE_URL) names one that runs"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(words: list[str], told: str) -> None:
    done = run(*words)
    assert done.exit_code in (1, 2, 78)
    assert told in done.stderr


def test_a_ledger_that_is_not_there_is_told_in_one_line(empty_database: str) -> None:
    done = run("dead", MILLRACE_DATABASE_URL=empty_database)
    assert (done.exit_code, done.stderr.count("\n"), "run `millrace migrate`" in done.stderr) == (1, 1, True)


def test_the_recipes_in_the_docs_are_commands_that_exist() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    lines = re.findall(r"^millrace ([^#\n]+)", page, re.MULTILINE)
    assert len(lines) > 15
    for words in map(shlex.split, lines):
        command: click.Command = cli.main
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_the_paths_in_the_docs_are_routes_that_exist() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    routes = memory.Road(handlers.Handler("orders.created", print)).client().application.url_map.bind("here")
    named = re.findall(r"(GET|POST|DELETE) (/v1/[\w./<>-]+)", page)
    assert len(named) > 10
    for method, path in named:
        routes.match(path, method)

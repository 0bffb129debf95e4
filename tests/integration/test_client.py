"""The Python client at a real door: what it sends again, what it tells, and that nothing comes twice."""

from __future__ import annotations

import datetime
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service import client as clients
from service.client import NewEvent, core
from service.local import ports
from service.local.postgres import PostgresServer
from tests.front import worked
from tests.patience import PATIENCE, within
from tests.producers import Moody, Shop, Waited, shop

pytestmark = pytest.mark.postgres

Make = Callable[..., Any]
numbers = itertools.count(1000)


@pytest.fixture(scope="module")
def here(postgres: PostgresServer, ledger_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(postgres, ledger_template, "clients", tmp_path_factory.mktemp("clients")) as found:

        def work(payload: Any, ctx: Any) -> Any:
            if payload.get("do") == "fail":
                raise RuntimeError("the warehouse did not answer")
            return {"seen": payload["number"]}

        found.ledger.handler("ledger.step", work, attempts=1, bundle=1)
        found.ledger.handler("ledger.alone", work, attempts=1, bundle=1)
        yield found


@pytest.fixture(params=[clients.Client, Waited], ids=["sync", "async"])
def make(request: pytest.FixtureRequest, here: Shop) -> Iterator[Make]:
    """A client of either kind, at the door or elsewhere."""
    made = []

    def one(url: str = here.url, **options: Any) -> Any:
        made.append(request.param(url, **{"timeout": 20.0 * PATIENCE, "deadline": 30.0 * PATIENCE} | options))
        return made[-1].__enter__()

    yield one
    for client in made:
        client.__exit__(None, None, None)


def test_an_event_is_posted_shown_and_waited_for(make: Make, here: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.calls.GLANCE", 20.0 * PATIENCE)
    client = make(producer="till-1")
    event = client.submit("ledger.alone", {"number": 1})
    assert (event.state, event.type, event.ended) == ("pending", "ledger.alone", False)
    assert client.get(event.id).producer == "till-1"
    with pytest.raises(clients.NotEnded, match="still pending"):
        client.wait(event.id, within=0.3)
    with worked(here.ledger):
        assert client.wait(event.id, within=20 * PATIENCE).result == {"seen": 1}
        found = client.submit("ledger.alone", {"number": 2}, wait=20 * PATIENCE)
    assert (found.state, found.result) == ("succeeded", {"seen": 2})


def test_when_an_event_should_start_is_told(make: Make) -> None:
    event = make().submit("ledger.alone", {"number": 5}, delay=90)
    assert event.reason == "scheduled"
    assert abs((event.expected_at - event.accepted_at).total_seconds() - 90) < 2 * PATIENCE


def test_whatever_happens_on_the_way_there_is_one_event(make: Make, here: Shop) -> None:
    way = Moody("lost", 502, "away", "lost", 504)
    number = next(numbers)
    event = make(transport=way).submit("ledger.alone", {"number": number})
    assert here.stored(number=number) == [event.id]
    assert len(way.requests) == 6
    assert len({request.headers["Idempotency-Key"] for request in way.requests}) == 1


def test_a_repeat_with_a_key_of_ones_own_is_the_same_event(make: Make) -> None:
    client = make()
    key = f'order "{next(numbers)}" \\ 7'
    first = client.submit("ledger.alone", {"number": 7}, key=key)
    assert client.submit("ledger.alone", {"number": 7}, key=key).id == first.id
    with pytest.raises(clients.Invalid, match="key"):
        client.submit("ledger.alone", {"number": 8}, key=key)


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_for_as_long_as_it_is_asked_to(make: Make, here: Shop, status: int) -> None:
    way = Moody(status)
    begin = time.monotonic()
    make(transport=way).submit("ledger.alone", {"number": 3})
    assert time.monotonic() - begin > 0.95  # Retry-After: 1
    assert len(way.requests) == 2


def test_the_deadline_ends_the_tries_and_what_is_wrong_is_told(make: Make) -> None:
    way = Moody(*[503] * 50)
    with within(10), pytest.raises(clients.Unavailable) as told:
        make(transport=way, deadline=1.5).submit("ledger.alone", {"number": 4})
    assert (told.value.status, told.value.retry_after, told.value.stored) == (503, 1.0, "unknown")
    assert len(way.requests) <= 2
    with within(10), pytest.raises(clients.Unreachable, match="Connect"):
        make(f"http://127.0.0.1:{ports.free()}", deadline=1.0).submit("ledger.alone", {"number": 4})


def test_an_event_that_was_taken_is_told_though_nobody_can_be_asked_what_came_of_it(make: Make, here: Shop) -> None:
    class Taken(Moody):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.moods = ["away"] if request.method == "GET" else []
            return super().handle_request(request)

    number = next(numbers)
    with within(10):
        event = make(transport=Taken()).submit("ledger.alone", {"number": number}, wait=1.5)
    assert (here.stored(number=number), event.state) == ([event.id], "pending")


def test_a_wait_ends_in_its_time_though_nobody_answers(make: Make) -> None:
    with within(4), pytest.raises(clients.Unreachable):
        make(f"http://127.0.0.1:{ports.free()}").wait("00000000-0000-7000-8000-000000000000", within=0.5)


def test_whatever_goes_wrong_on_the_way_has_a_name_of_ours(make: Make) -> None:
    garbled = Moody("garbled")
    with pytest.raises(clients.NotFound):
        make(transport=garbled).get("x")
    assert len(garbled.requests) == 2  # The next answer may be whole.
    with within(10), pytest.raises(clients.Unreachable, match="DecodingError"):
        make(transport=Moody(*["garbled"] * 99), deadline=1.0).get("x")
    for url in ("127.0.0.1:5000", "http://127.0.0.1:port"):
        with pytest.raises(clients.Unsendable):
            make(url).get("x")
    with pytest.raises(clients.Unsendable):
        make().submit("ledger.alone", {"number": 1}, traceparent="\u00e9")
    assert issubclass(clients.Unsendable, clients.ClientError)


def test_a_key_that_no_header_can_carry_is_told_and_goes_in_a_batch(make: Make) -> None:
    client, key = make(), f"caf\u00e9 {next(numbers)}"
    with pytest.raises(ValueError, match="ASCII is wanted in a header"):
        client.submit("ledger.alone", {"number": 1}, key=key)
    [item] = client.batch([NewEvent("ledger.alone", {"number": 1}, key=key)])
    assert item.problem is None


def test_what_is_no_number_of_seconds_is_not_waited_for() -> None:
    for given in ("\u00b2", "\u0663", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert core.Answer(429, {"retry-after": given}, b"").retry_after is None
    assert core.Answer(429, {"retry-after": "7"}, b"").retry_after == 7.0


def test_a_server_that_goes_and_comes_back_is_waited_for(here: Shop) -> None:
    here.door.process.kill()
    client, number, found = clients.Client(here.url, deadline=60 * PATIENCE), next(numbers), list[clients.Event]()
    thread = threading.Thread(target=lambda: found.append(client.submit("ledger.alone", {"number": number})))
    thread.start()
    here.door.process.restart()
    here.door.wait_until_open()
    thread.join()
    client.close()
    assert [event.id for event in found] == here.stored(number=number)


def test_problems_come_as_typed_errors(make: Make, here: Shop) -> None:
    client = make()
    with pytest.raises(clients.Invalid, match=r"/number: ") as told:
        client.submit("ledger.alone", {"number": "seven"})
    assert (told.value.status, told.value.errors[0]["pointer"]) == (422, "/number")
    with pytest.raises(clients.NotFound, match=r"no\.such"):
        client.submit("no.such", {})
    with pytest.raises(clients.NotFound):
        client.get("00000000-0000-7000-8000-000000000000")
    way = Moody(401, 403, 500, 418)
    for kind in (clients.NotAllowed, clients.NotAllowed, clients.ServerFault, clients.Problem):
        with pytest.raises(kind, match="the answer was"):
            make(transport=way).get("x")
    assert len(way.requests) == 4  # Nothing of this is tried again.
    with pytest.raises(ValueError, match="zone"):
        client.submit("ledger.alone", {}, run_at=datetime.datetime(2026, 1, 1))


def test_many_are_posted_and_each_is_told(make: Make, here: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.calls.PART", (100, 1_000_000))
    way, number = Moody("lost", 503), next(numbers)
    events = [NewEvent("ledger.alone", {"number": number}, delay=60.0 * n) for n in range(1, 202)]
    events[150] = NewEvent("ledger.alone", {"number": "x"})
    items = make(transport=way).batch(events)
    assert [item.event.payload for item in items] == [event.payload for event in events]
    assert [n for n, item in enumerate(items) if item.id is None] == [150]
    assert isinstance(items[150].problem, clients.Invalid)
    assert sorted(i.id for i in items if i.id) == here.stored(number=number)
    assert len(way.requests) == 5  # Two of 100 and one of 1; the first had to be sent three times.
    away = make(transport=Moody(*["away"] * 99), deadline=0.5).batch(events[:3])
    assert all(isinstance(item.problem, clients.Unreachable) and item.event.key for item in away)


def test_one_that_is_too_large_keeps_no_other_away(make: Make, here: Shop) -> None:
    way, number = Moody(room=2_000), next(numbers)
    events = [NewEvent("ledger.alone", {"number": number, "n": n}) for n in range(40)]
    events[17] = NewEvent("ledger.alone", {"number": number, "text": "x" * 3_000})
    items = make(transport=way).batch(events)
    assert [n for n, item in enumerate(items) if item.id is None] == [17]
    assert isinstance(items[17].problem, clients.Invalid)
    assert len(here.stored(number=number)) == 39
    assert len(way.requests) < 20


def test_events_are_listed_page_by_page(make: Make, here: Shop) -> None:
    name = f"lister-{next(numbers)}"
    client = make(producer=name)
    sent = [client.submit("ledger.alone", {"number": n}).id for n in range(5)]
    found = list(client.iterate(page=2, producer=name, state="pending"))
    assert [event.id for event in found] == sent[::-1]


def test_events_are_cancelled_and_replayed_though_an_answer_is_lost(make: Make, here: Shop) -> None:
    event = make().submit("ledger.alone", {"number": 9})
    assert make(transport=Moody("lost")).cancel(event.id) == "cancelled"
    with pytest.raises(clients.Conflict, match="cancelled"):
        make().cancel(event.id)
    with worked(here.ledger):
        dead = make().submit("ledger.step", {"do": "fail", "number": 1}, wait=20 * PATIENCE)
    assert (dead.state, dead.reason) == ("dead", "attempts")
    new = make(transport=Moody("lost")).replay(dead.id, payload={"number": 6})
    assert (make().get(new).replay_of, make().get(new).payload) == (dead.id, {"number": 6})
    with pytest.raises(clients.Conflict, match=new):
        make().replay(dead.id)


def test_dead_letters_are_discarded_though_an_answer_is_lost(make: Make, here: Shop) -> None:
    with worked(here.ledger):
        dead = make().submit("ledger.step", {"do": "fail", "number": 2}, wait=20 * PATIENCE)
    make(transport=Moody("lost")).discard(dead.id, because="a test")
    assert make().get(dead.id).discarded_at is not None
    with pytest.raises(clients.Conflict, match="discarded"):
        make().discard(dead.id)
    [letter] = [one for one in make().rows("/v1/dead", "dead", {"discarded": "true"}) if one["id"] == dead.id]
    assert letter["discarded_because"] == "a test"


def test_many_dead_letters_are_replayed_and_discarded_once(make: Make, here: Shop) -> None:
    with worked(here.ledger):
        for number in (3, 4):
            make().submit("ledger.step", {"do": "fail", "number": number}, wait=20 * PATIENCE)
    with pytest.raises(clients.Invalid, match="all=true"):
        make().discard_many()
    assert make(transport=Moody("lost")).discard_many(type="ledger.step", dry_run=True)["count"] >= 2
    assert make().replay_many(type="ledger.step", limit=1, because="a test")["replayed"] == 1
    left = make().discard_many(all=True, dry_run=True)["count"]
    way = Moody("lost")
    with pytest.raises(clients.Unreachable):
        make(transport=way).discard_many(all=True)
    assert len(way.requests) == 1
    assert (left > 0, make().discard_many(all=True)["discarded"]) == (True, 0)


def test_a_replay_in_turns_tells_each_when_the_one_before_ends(make: Make, here: Shop) -> None:
    with worked(here.ledger):
        for number in (5, 6):
            make().submit("ledger.step", {"do": "fail", "number": number}, wait=20 * PATIENCE)
    first = make().replay_many(all=True, limit=1, rate=0.01)
    assert (first["replayed"], first["complete"]) == (1, False)
    second = make().replay_many(all=True, limit=1, rate=0.01, starts_at=first["next_at"])
    begins, ends = (datetime.datetime.fromisoformat(found["next_at"]) for found in (first, second))
    assert ends - begins == datetime.timedelta(seconds=100)
    counted = make().discard_many(all=True, dry_run=True)
    assert make().discard_many(until=counted["counted_at"])["discarded"] == counted["count"]


def test_what_cannot_be_done_twice_is_sent_once(make: Make) -> None:
    way = Moody("lost")
    with pytest.raises(clients.Unreachable):
        make(transport=way).request(clients.Request("POST", "/v1/schedules/none/run", repeatable=False))
    assert len(way.requests) == 1


def test_the_client_carries_nothing_of_the_service() -> None:
    code = (
        "import service.client, sys; "
        "heavy = {'flask', 'sqlalchemy', 'celery', 'kombu', 'pydantic', 'werkzeug'};"
        "print(sorted(heavy & set(sys.modules)),"
        " sorted(m for m in sys.modules if m.startswith('service.') and not m.startswith('service.client')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"

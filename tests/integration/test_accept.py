"""Accept: group commit, deadlines, idempotency keys, on a real ledger."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import json
import threading
from collections.abc import Sequence

import psycopg2
import pytest

from service.application import accept
from service.domain import errors, event
from service.domain import ticket as tickets
from tests.ledgers import Ledger
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.postgres


@pytest.fixture
def ledger(database: str) -> Ledger:
    return with_types(Ledger(database))


@pytest.fixture
def hurried(database: str) -> Ledger:
    """The same with a short deadline, for a test that waits for it."""
    return with_types(Ledger(database, deadline=2 * PATIENCE))


def with_types(ledger: Ledger) -> Ledger:
    ledger.handler("a.b", print, bundle=10)
    ledger.handler("a.c", print)
    return ledger


def a_new(key: str | None = None, payload: str = "1", **fields: object) -> event.NewEvent:
    return event.NewEvent(type="a.b", payload=payload, key=key, fingerprint=payload, scope="me", **fields)  # type: ignore[arg-type]


def test_posts_that_arrive_together_are_stored_together(ledger: Ledger) -> None:
    ledger.post("a.b", 0)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        accepted = list(pool.map(lambda n: ledger.post("a.b" if n % 2 else "a.c", n)[0], range(400)))
    assert len(set(accepted)) == 400
    [(commits,)] = ledger.sql("select count(distinct xmin::text) from millrace.events")
    assert commits < 200
    assert ledger.sql("select max(cardinality(event_ids)) <= 10 from millrace.tickets where type = 'a.b'") == [(True,)]
    ledger.until(lambda: len({t.id for t in ledger.broker.published}) == len(ledger.tickets()))
    ledger.check()


def test_those_who_were_answered_together_are_waited_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "WAIT", 1e6)
    monkeypatch.setattr(accept, "LONGEST_WAIT", 10.0 * PATIENCE)
    number = accept.SIBLINGS
    lock = psycopg2.connect(ledger.url)
    lock.cursor().execute("lock table millrace.events in access exclusive mode")
    with concurrent.futures.ThreadPoolExecutor(1 + number) as pool, within(5):
        first = pool.submit(ledger.post, "a.b", 0)
        ledger.until(lambda: ledger.sql("select 1 from pg_locks where not granted"))
        others = [pool.submit(ledger.post, "a.b", n) for n in range(number)]
        ledger.until(lambda: len(ledger.intake._waiting) == number)
        lock.close()  # One is stored, and then those that have gathered.
        stored = [each.result()[0] for each in (first, *others)]
        again = [pool.submit(ledger.post, "a.b", n) for n in range(number - 1)]
        assert not concurrent.futures.wait(again, 0.3).done
        again.append(pool.submit(ledger.post, "a.b", number))
        stored += [each.result()[0] for each in again]
    assert len(stored) == 1 + 2 * number
    assert ledger.sql("select count(*), count(distinct xmin::text) from millrace.events") == [(1 + 2 * number, 3)]


def test_a_large_submission_is_stored_whole_in_bundles(ledger: Ledger) -> None:
    ledger.post("a.b", *range(95))
    sizes = [len(t.event_ids) for t in ledger.tickets()]
    assert sorted(sizes) == [5] + [10] * 9
    ledger.check()


def test_payloads_and_attributes_of_a_flush_stay_with_their_events(ledger: Ledger) -> None:
    payloads = ['"\\u001e"', '""', '{"a": "{\\"b\\",NULL}"}', "null", '[\n1,\t"\\\\"\r\n]']
    attributes = [None, '{"mark": "\\u001e"}', None, "{}", '{"source": "it\'s %s"}']
    new = [a_new(payload=p, attributes=a) for p, a in zip(payloads, attributes, strict=True)]
    for group in (new, new[:1], new[:1] + new[2:3]):  # In one flush: with attributes, alone and without any.
        ids = [accepted.id for accepted in ledger.intake.submit(group)]
        rows = ledger.sql("select id::text, payload, attributes from millrace.events")
        stored = {row[0]: row[1:] for row in rows}
        sent = [(json.loads(each.payload), json.loads(each.attributes or "null")) for each in group]
        assert [stored[i] for i in ids] == sent


def test_confirmed_tickets_are_marked_out_soon(ledger: Ledger) -> None:
    ledger.post("a.b", 1)
    out = "select publishes, due_at > now() + interval '4 min' from millrace.tickets where published_at is not null"
    ledger.until(lambda: ledger.sql(out) == [(1, True)])


def test_a_flush_that_waits_for_a_lock_is_broken_off_by_the_ledger(hurried: Ledger) -> None:
    """While the lock is held: or there would be one more who waits for it at each flush, all with a connection."""
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    lock = psycopg2.connect(hurried.url)
    lock.cursor().execute("lock table millrace.events in access exclusive mode")
    with pytest.raises(errors.NotAccepted) as told:
        hurried.post("a.b", 1)
    assert len(told.value.event_ids) == 1
    assert hurried.sql(waiting) == [(1,)]
    hurried.until(lambda: not hurried.sql(waiting))
    lock.close()
    [stored] = hurried.post("a.b", 2)
    assert hurried.sql("select id::text from millrace.events") == [(stored,)]


def test_a_process_that_ends_leaves_nothing_of_its_own_for_the_clocks(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def publish(batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        assert go_on.wait(timeout)
        return {t.id for t in batch}

    monkeypatch.setattr(ledger.broker, "publish", publish)
    ledger.post("a.b", *range(30))
    threading.Timer(0.3, go_on.set).start()
    ledger.intake.close()
    assert ledger.sql("select count(*) from millrace.tickets where published_at is not null") == [(3,)]

    ledger.post("a.b", 1)
    ledger.check()


def test_an_event_for_later_has_a_ticket_of_its_own_that_is_not_published(ledger: Ledger) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=400)
    ledger.intake.submit([a_new(), a_new(run_at=later)])
    assert len(ledger.tickets()) == 2
    ledger.until(lambda: len(ledger.broker.published) == 1)
    [(waiting,)] = ledger.sql("select id::text from millrace.tickets where due_at > now() + interval '1 day'")
    assert ledger.broker.published[0].id != waiting
    assert ledger.sql("select count(*) from millrace.tickets where due_at = %s", later) == [(1,)]


@pytest.mark.fault(32)
def test_a_repeat_with_the_same_key_is_told_the_first_event(ledger: Ledger) -> None:
    [first] = ledger.intake.submit([a_new("k")])
    [again] = ledger.intake.submit([a_new("k")])
    assert again.id == first.id
    assert again.duplicate
    assert not first.duplicate
    with pytest.raises(errors.KeyReused):
        ledger.intake.submit([a_new("k", payload="2")])
    ledger.check()
    assert ledger.states() == {"pending": 1}


@pytest.mark.fault(32)
def test_fifty_twins_at_once_are_one_event(ledger: Ledger) -> None:
    ledger.post("a.b", 0)
    other = Ledger.__new__(Ledger)  # A second web process, as far as the ledger can tell.
    other.__dict__ |= ledger.__dict__
    other.intake = type(ledger.intake)(
        accept_ledger(ledger.url), ledger.publisher, ledger.registry, deadline=10.0 * PATIENCE, head_start=2.0
    )
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda n: (ledger, other)[n % 2].intake.submit([a_new("k")])[0], range(50)))
    assert len({f.id for f in found}) == 1
    assert sum(not f.duplicate for f in found) == 1
    assert ledger.states() == {"pending": 2}


def accept_ledger(url: str) -> object:
    from service.ledger import engine
    from service.ledger.intake import IntakeLedger

    return IntakeLedger(engine.Engine(url), patience=300.0, window=20_000)


def test_only_the_bad_row_of_a_flush_is_refused(ledger: Ledger) -> None:
    lock = hold(ledger, "millrace.events")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        payloads = ['"\\u0000"' if n == 7 else str(n) for n in range(20)]
        posts = [pool.submit(ledger.intake.submit, [a_new(payload=payloads[0])])]
        ledger.until(lambda: ledger.sql("select pid from pg_locks where not granted"))
        # The first is in the flush that waits for the lock; the others gather behind it.
        posts += [pool.submit(ledger.intake.submit, [a_new(payload=p)]) for p in payloads[1:]]
        ledger.until(lambda: len(ledger.intake._waiting) == 19)
        lock.close()
        faults = [p.exception() for p in posts]
    assert [type(f) for f in faults if f] == [errors.InvalidEvent]
    assert isinstance(faults[7], errors.InvalidEvent)
    assert ledger.states() == {"pending": 19}
    ledger.check()


def hold(ledger: Ledger, table: str) -> psycopg2.extensions.connection:
    """A lock that keeps the intake waiting until it is closed."""
    connection = psycopg2.connect(ledger.url)
    connection.cursor().execute(f"lock table {table} in access exclusive mode")
    return connection


@pytest.mark.fault(20)
def test_a_post_that_waits_too_long_says_whether_it_may_be_stored(hurried: Ledger) -> None:
    hurried.post("a.b", 0)
    lock = hold(hurried, "millrace.events")
    taken: list[BaseException] = []

    def post() -> None:
        try:
            hurried.post("a.b", 1)
        except errors.NotAccepted as error:
            taken.append(error)

    threads = [threading.Thread(target=post) for _ in range(5)]
    with within(3.8):  # The ledger itself breaks a flush off after twice the deadline.
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10 * PATIENCE)
    unknown = [e for e in taken if isinstance(e, errors.NotAccepted) and e.event_ids]
    withdrawn = [e for e in taken if isinstance(e, accept.NotStored)]
    assert len(unknown) >= 1
    assert len(unknown) + len(withdrawn) == 5
    lock.close()
    hurried.post("a.b", 2)
    # What was withdrawn is not stored; what was in flight has the id that its client was told.
    stored = {row[0] for row in hurried.sql("select id::text from millrace.events")}
    assert len(stored) == 2 + len(unknown)
    assert all(e.event_ids[0] in stored for e in unknown)


def test_each_of_many_that_wait_too_long_is_told_its_own_id(ledger: Ledger) -> None:
    ledger.post("a.b", 0)
    with contextlib.closing(hold(ledger, "millrace.events")):
        told = ledger.intake.submit_each([a_new(payload=str(n)) for n in range(30)], PATIENCE)
    assert all(isinstance(one, errors.NotAccepted) for one in told)
    ids = [one.event_ids for one in told if isinstance(one, errors.NotAccepted)]
    assert [len(found) for found in ids] == [1] * 30
    assert len(set(ids)) == 30
    ledger.post("a.b", 2)
    stored = dict(ledger.sql("select id::text, payload from millrace.events"))
    assert {found[0]: n for n, found in enumerate(ids)}.items() <= stored.items()


def test_an_unknown_type_is_refused_before_anything_is_stored(ledger: Ledger) -> None:
    with pytest.raises(errors.UnknownEventType):
        ledger.post("no.such", 1)
    assert ledger.states() == {}


def test_a_connection_that_died_in_the_pool_is_not_noticed_by_anyone(ledger: Ledger) -> None:
    ledger.post("a.b", 1)
    ledger.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'millrace' and datname = current_database()"
    )
    ledger.post("a.b", 2)
    assert ledger.states() == {"pending": 2}


def test_tickets_of_a_paused_or_full_type_are_left_to_the_clock(ledger: Ledger) -> None:
    ledger.sql("insert into millrace.types (name, paused_at) values ('a.b', now())")
    ledger.post("a.c", 1)  # A flush reads which types must wait.
    ledger.post("a.b", 1)
    ledger.post("a.c", 2)
    ledger.until(lambda: len(ledger.broker.published) == 2)
    assert {t.type for t in ledger.broker.published} == {"a.c"}
    assert ledger.sql("select due_at <= clock_timestamp() from millrace.tickets where type = 'a.b'") == [(True,)]

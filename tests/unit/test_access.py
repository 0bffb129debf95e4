"""What access is made of, by itself: keys, what a process knows of them, buckets, masks, the chain."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import threading
from collections.abc import Callable
from typing import Annotated, Any

import hypothesis
import pydantic
import pytest
from hypothesis import strategies

from service.application import credentials as application
from service.application.buckets import Buckets
from service.domain import access, chain, credentials, errors, masks
from service.telemetry import masking

PEPPERS = ("p" * 32, "q" * 32)


class Time:
    """A clock in the hand of the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Live:
    id: str
    hash: str
    name: str = "orders"
    role: str = "producer"
    types: tuple[str, ...] = ()
    left: float | None = None
    unused: float | None = None


class Keys:
    """A ledger of keys that counts what it is asked."""

    def __init__(self) -> None:
        self.rows: list[Live] = []
        self.asked = 0
        self.used_ids: list[str] = []
        self.away = False

    def add(self, pepper: str = PEPPERS[0], **fields: Any) -> str:
        new = credentials.make()
        self.rows.append(Live(new.id, credentials.keyed_hash(new.text, pepper), **fields))
        return new.text

    def live(self) -> list[Live]:
        self.asked += 1
        if self.away:
            raise errors.LedgerUnavailable
        return list(self.rows)

    def used(self, id: str) -> None:
        self.used_ids.append(id)

    create: Callable[..., Any]
    rotate: Callable[..., Any]
    revoke: Callable[..., Any]


@pytest.fixture
def ledger() -> Keys:
    return Keys()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ring(ledger: Keys, time: Time) -> application.Keyring:
    return application.Keyring(ledger, PEPPERS, now=time)


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_has_238_random_bits_and_tells_its_id() -> None:
    made = [credentials.make() for _ in range(200)]
    assert len({new.text for new in made}) == 200
    assert credentials.LENGTH * math.log2(len(credentials.ALPHABET)) > 238
    for new in made:
        assert credentials.PATTERN.fullmatch(new.text)
        assert credentials.id_of(new.text) == new.id
        assert new.text not in repr(new)


@hypothesis.given(strategies.data())
def test_a_key_with_a_typing_error_is_told_without_asking_anybody(data: strategies.DataObject) -> None:
    text = credentials.make().text
    place = data.draw(strategies.integers(16, len(text) - 1))
    other = data.draw(strategies.sampled_from(credentials.ALPHABET).filter(lambda c: c != text[place]))
    assert credentials.id_of(text[:place] + other + text[place + 1 :]) is None


def test_a_key_gets_into_no_log() -> None:
    text = credentials.make().text
    assert masking.Mask().text(f"Authorization was {text}, it seems") == "Authorization was ***, it seems"


def test_a_hash_is_another_with_another_pepper() -> None:
    text = credentials.make().text
    assert len(set(credentials.hashes(text, PEPPERS))) == 2
    assert credentials.keyed_hash(text, PEPPERS[1]) == credentials.hashes(text, PEPPERS)[1]


def test_a_revoked_key_is_dead_within_ten_seconds(ledger: Keys, ring: application.Keyring, time: Time) -> None:
    key = ledger.add(unused=0.0)
    assert ring.look(key).name == "orders"
    ledger.rows.clear()
    time.now += 4.9
    assert ring.glance(key) is not None
    time.now += 0.2
    assert ring.glance(key) is None, "the first one after five seconds asks"
    assert ring.glance(key) is not None, "the others go on meanwhile"
    time.now += 5
    assert [ring.glance(key) for _ in range(3)] == [None, None, None], "nothing is believed after ten seconds"
    with pytest.raises(errors.BadCredential):
        ring.look(key)


def test_a_flood_of_unknown_keys_is_no_flood_of_questions(ledger: Keys, ring: application.Keyring, time: Time) -> None:
    for _ in range(500):
        time.now += 0.01
        with pytest.raises(errors.BadCredential):
            ring.look(credentials.make().text)
    assert ledger.asked <= 6, "five seconds, one question for each"
    asked = ledger.asked
    for text in ("mr_", "mr_x", "mr_" + "0" * 12 + "_" + "0" * 46):
        time.now += 10
        with pytest.raises(errors.BadCredential):
            ring.look(text)
    assert ledger.asked == asked, "what cannot be a key costs none"


def test_of_many_who_come_at_once_one_asks(ledger: Keys, ring: application.Keyring) -> None:
    key = ledger.add(unused=0.0)
    gate = threading.Barrier(16)

    def come() -> None:
        gate.wait()
        ring.look(key)

    threads = [threading.Thread(target=come) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.asked == 1


def test_a_key_that_was_made_just_now_is_good_within_a_second(
    ledger: Keys, ring: application.Keyring, time: Time
) -> None:
    with pytest.raises(errors.BadCredential):
        ring.look(credentials.make().text)
    key = ledger.add()
    time.now += 1.1
    assert ring.look(key).id == ledger.rows[0].id


def test_a_key_expires_by_the_ledgers_clock(ledger: Keys, ring: application.Keyring, time: Time) -> None:
    key = ledger.add(left=3.0, unused=0.0)
    assert ring.look(key)
    time.now += 3.1
    assert ring.glance(key) is None
    with pytest.raises(errors.BadCredential):
        ring.look(key)


def test_that_a_key_is_used_is_noted_once_a_minute(ledger: Keys, ring: application.Keyring, time: Time) -> None:
    key = ledger.add()
    for _ in range(130):
        ring.glance(key) or ring.look(key)
        time.now += 1
    assert len(ledger.used_ids) == 3


def test_a_key_of_the_pepper_before_is_good_while_both_are_set(ledger: Keys, ring: application.Keyring) -> None:
    assert ring.look(ledger.add(PEPPERS[1]))
    with pytest.raises(errors.BadCredential):
        application.Keyring(ledger, PEPPERS[:1]).look(ledger.add(PEPPERS[1]))


def test_while_the_ledger_is_away_nobody_is_taken_for_another(ledger: Keys, ring: application.Keyring) -> None:
    ledger.away = True
    with pytest.raises(errors.LedgerUnavailable):
        ring.look(credentials.make().text)


@pytest.mark.parametrize(
    ("patterns", "type_name", "may"),
    [
        ((), "orders.created", True),
        (("orders.*",), "orders.created", True),
        (("orders.*",), "orders", False),
        (("orders.*",), "ordersx.created", False),
        (("*",), "anything", True),
        (("a.b", "orders.created"), "orders.created", True),
        (("orders.created",), "orders.created.twice", False),
        (("a.b",), "axb", False),
    ],
)
def test_a_pattern_matches_whole_types(patterns: tuple[str, ...], type_name: str, may: bool) -> None:
    principal = access.Principal("p", access.Role.PRODUCER, access.Kind.KEY, patterns)
    assert principal.may_submit(type_name) is may


# --- buckets --------------------------------------------------------------------------------------------------------


def test_a_bucket_lets_a_burst_through_and_then_a_steady_flow(time: Time) -> None:
    buckets = Buckets(10, now=time)
    assert sum(buckets.take("a") for _ in range(100)) == 20
    assert buckets.take("b"), "each has a bucket of their own"
    assert buckets.wait("a") == 1
    assert buckets.headers("a") == {"RateLimit-Policy": '"key";q=20;w=2', "RateLimit": '"key";r=0;t=1'}
    passed = 0
    for _ in range(1000):
        time.now += 0.01
        passed += buckets.take("a")
    assert 99 <= passed <= 101


def test_buckets_are_bounded(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.application.buckets.MOST", 10)
    buckets = Buckets(1, 1, now=time)
    for number in range(100):
        buckets.take(str(number))
    assert len(buckets._levels) == 10


# --- masks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "hidden"),
    [
        ("password", True), ("userPassword", True), ("PASSWORD", True), ("password2", True), ("access_token", True),
        ("accesstoken", True), ("creditCard", True), ("card-number", True), ("IBAN", True), ("emails", True),
        ("discard", False), ("cardinality", False), ("spin", False), ("tokenizer", False), ("order", False),
    ],
)  # fmt: skip
def test_a_field_is_masked_word_by_word(field: str, hidden: bool) -> None:
    assert masks.matcher(masks.NAMES)(field) is hidden


def test_masks_take_the_place_of_whatever_is_there_and_say_where() -> None:
    value = {"a/b": [{"token": {"x": 1}}, {"token": None}], "pin": 0, "rest": 1}
    found, places = masks.masked(value, masks.matcher(masks.NAMES))
    assert found == {"a/b": [{"token": "***"}, {"token": None}], "pin": "***", "rest": 1}
    assert places == ["/a~1b/0/token", "/pin"]
    assert value["pin"] == 0, "what was given is left as it is"


def test_a_model_marks_fields_by_write_only() -> None:
    class Inner(pydantic.BaseModel):
        code: pydantic.SecretStr | None = None

    class Outer(pydantic.BaseModel):
        inner: list[Inner]
        diagnosis: Annotated[str, pydantic.Field(json_schema_extra={"writeOnly": True})]
        open: str

    assert set(masks.marked(Outer.model_json_schema())) == {"code", "diagnosis"}


# --- the chain ------------------------------------------------------------------------------------------------------


def log_of(number: int) -> list[chain.Entry]:
    found: list[chain.Entry] = []
    for n in range(1, number + 1):
        at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=n)
        previous = found[-1].hash if found else chain.FIRST
        entry = chain.Entry(n, at, "ada", "type.paused", "a.b", json.dumps({"n": n}), "r", "127.0.0.1", previous)
        found.append(dataclasses.replace(entry, hash=entry.computed()))
    return found


def end_of(log: list[chain.Entry]) -> tuple[int, str]:
    return (log[-1].n, log[-1].hash) if log else (0, chain.FIRST)


@hypothesis.given(strategies.integers(0, 8))
def test_a_chain_that_nobody_touched_holds(number: int) -> None:
    log = log_of(number)
    assert list(chain.breaks(log, end_of(log))) == []


CHANGES = {
    "n": 99, "at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "actor": "eve", "act": "key.created",
    "target": None, "detail": "{}", "request_id": None, "address": "10.0.0.1", "previous": "f" * 64, "hash": "f" * 64,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_every_field_that_is_changed_is_found_with_its_row(name: str, place: int) -> None:
    log = log_of(5)
    end = end_of(log)
    log[place] = dataclasses.replace(log[place], **{name: CHANGES[name]})
    found = list(chain.breaks(log, end))
    assert found, name
    assert min(b.n for b in found) in (place + 1, place + 2, 99)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_row_that_was_removed_is_found(place: int) -> None:
    log = log_of(5)
    end = end_of(log)
    del log[place]
    assert next(b.what for b in chain.breaks(log, end)).startswith(f"row {place + 1} is missing")


def test_a_row_that_was_put_in_is_found() -> None:
    log = log_of(5)
    extra = dataclasses.replace(log[2], n=6, actor="eve", previous=log[4].hash)
    log.append(dataclasses.replace(extra, hash=extra.computed()))
    assert [b.n for b in chain.breaks(log, end_of(log[:5]))] == [6]


def test_a_row_in_the_place_of_another_with_a_right_hash_is_found() -> None:
    log = log_of(5)
    end = end_of(log)
    forged = dataclasses.replace(log[2], actor="eve")
    log[2] = dataclasses.replace(forged, hash=forged.computed())
    assert [b.n for b in chain.breaks(log, end)] == [4]

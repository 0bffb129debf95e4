"""API keys, and what a process knows of them: how soon one is good, and how soon it is dead."""

from __future__ import annotations

import math
import threading

import hypothesis
import pytest
from hypothesis import strategies

from service.application import credentials as application
from service.domain import access, credentials, errors
from service.telemetry import masking
from tests.unit.access.parts import PEPPERS, Keys, Time


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

"""Rate limits: of a key, of an address, of one that proxies forward."""

from __future__ import annotations

import ipaddress

import pytest

from service.domain import credentials
from service.domain.access import Role
from tests.entrance import Entrance
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_a_key_that_asks_too_often_is_told_when_to_come_again(ledger: Ledger) -> None:
    entrance = Entrance(ledger, rate_key=2.0)
    answers = [entrance.as_(Role.VIEWER, "GET", "/v1/types") for _ in range(6)]
    assert [a.status_code for a in answers[:5]] == [200] * 4 + [429]
    slow = answers[4]
    assert (slow.content_type, slow.headers["Retry-After"]) == ("application/problem+json", "1")
    assert slow.headers["RateLimit"] == '"key";r=0;t=1'
    assert answers[0].headers["RateLimit-Policy"] == '"key";q=4;w=2'
    assert answers[0].headers["RateLimit"] == '"key";r=3;t=0'
    assert entrance.as_(Role.OPERATOR, "GET", "/v1/types").status_code == 200, "others are not slowed down"


def test_an_address_that_guesses_is_slowed_down_and_a_good_key_there_is_not(ledger: Ledger) -> None:
    entrance = Entrance(ledger, rate_address=1.0)
    guesses = [entrance.ask("GET", "/v1/types", credentials.make().text).status_code for _ in range(5)]
    assert guesses == [401, 401, 429, 429, 429]
    assert entrance.as_(Role.VIEWER, "GET", "/v1/types").status_code == 200
    assert entrance.ask("GET", "/healthz").status_code == 200
    elsewhere = {"environ_base": {"REMOTE_ADDR": "10.0.0.1"}}
    assert entrance.ask("GET", "/v1/types", **elsewhere).status_code == 401


def test_a_forwarded_address_is_believed_of_proxies_only(ledger: Ledger) -> None:
    entrance = Entrance(ledger, rate_address=1.0, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))

    def guess(forwarded: str, peer: str) -> int:
        more = {"headers": {"X-Forwarded-For": forwarded}, "environ_base": {"REMOTE_ADDR": peer}}
        return int(entrance.ask("GET", "/v1/types", **more).status_code)

    assert [guess("1.1.1.1", "10.0.0.1") for _ in range(3)] == [401, 401, 429]
    assert guess("1.1.1.2", "10.0.0.1") == 401
    assert guess("9.9.9.9, 1.1.1.1, 10.0.0.7", "10.0.0.1") == 429, "the nearest that is no proxy"
    assert [guess(f"5.5.5.{n}", "8.8.8.8") for n in range(3)] == [401, 401, 429], "a stranger may say what it likes"
    assert guess("nonsense", "10.0.0.2") == 401

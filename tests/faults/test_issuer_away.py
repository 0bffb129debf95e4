"""The keys of the identity provider cannot be had: what is known of them does for a day, and nobody hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.web import issuer as ours
from tests import issuer as issuers
from tests.entrance import CLEAR, Entrance
from tests.ledgers import Ledger
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.postgres

STEP = 0.6 * PATIENCE  #: seconds for a document of the issuer here
STEPS = 3.2  #: seconds for whoever asks a silent one: two steps, and two seconds for a busy machine
LONG = 30.0 * PATIENCE  #: seconds for a document where the issuer is to answer


class Times:
    """Seconds that have passed, as the door counts them."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


@pytest.fixture
def issuer() -> Iterator[issuers.Issuer]:
    with issuers.issuer() as found:
        yield found


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture(scope="module")
def ledger(shared_database: str) -> Ledger:
    return Ledger(shared_database)


@pytest.fixture
def entrance(ledger: Ledger, issuer: issuers.Issuer, times: Times, monkeypatch: pytest.MonkeyPatch) -> Entrance:
    """A door that has seen a token of this issuer."""
    ledger.sql(CLEAR)
    found = Entrance(ledger, oidc_issuer=issuer.url, oidc_audience=(issuers.AUDIENCE,))
    keeper = found.app.extensions["millrace.guard"].issuer
    keeper._now = times
    monkeypatch.setattr(ours, "STEP", LONG)
    assert found.ask("GET", "/v1/events", issuer.token(sub="first")).status_code == 200
    return found


def ask(entrance: Entrance, token: str) -> int:
    with within(STEPS):
        return entrance.ask("GET", "/v1/events", token).status_code


@pytest.mark.fault(56)
@pytest.mark.parametrize("how", ["away", "silent"])
def test_known_keys_do_for_a_day_and_unknown_ones_are_told_to_come_again(
    entrance: Entrance, issuer: issuers.Issuer, times: Times, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setattr(issuer, how, True)
    monkeypatch.setattr(ours, "STEP", STEP)
    for hours in (0.1, 1, 23):
        times.passed = hours * 3600
        assert ask(entrance, issuer.token(sub=f"known-{hours}")) == 200
        # Nobody can say whether the issuer has such a key by now.
        answer = entrance.ask("GET", "/v1/events", issuer.token({"kid": "new"}, sub="unknown"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.get_json()["type"] == "/problems/issuer-unavailable"
    times.passed = 25 * 3600
    assert ask(entrance, issuer.token(sub="too-late")) == 503
    setattr(issuer, how, False)
    monkeypatch.setattr(ours, "STEP", LONG)
    times.passed += 60
    assert entrance.ask("GET", "/v1/events", issuer.token(sub="back")).status_code == 200


@pytest.mark.fault(56)
def test_while_one_asks_a_silent_issuer_those_with_known_keys_are_not_held_up(
    entrance: Entrance, issuer: issuers.Issuer, times: Times
) -> None:
    issuer.silent = True
    times.passed = ours.FRESH + 1
    before = issuer.asked.total()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(entrance.ask, "GET", "/v1/events", issuer.token(sub="one"))
        while issuer.asked.total() == before:
            threading.Event().wait(0.01)
        for number in range(5):
            with within(2.0):
                assert entrance.ask("GET", "/v1/events", issuer.token(sub=f"n{number}")).status_code == 200
        assert not asking.done(), "nobody was asking any more"
        assert issuer.asked.total() == before + 1
        issuer.silent = False
        assert asking.result().status_code == 200

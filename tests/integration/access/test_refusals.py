"""Who is refused is counted by why; and whether the issuer of tokens answers is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from service import signals
from service.domain.access import Role
from tests import issuer as issuers
from tests.entrance import PASSWORD, Entrance
from tests.integration.access.test_sign_in import sign_in, with_ada
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


@pytest.fixture
def refused() -> Iterator[Counter[str]]:
    found: Counter[str] = Counter()

    def note(_: Any, reason: str) -> None:
        found[reason] += 1

    with signals.access_refused.connected_to(note):
        yield found


def test_each_refusal_is_counted_once_by_its_reason(ledger: Ledger, refused: Counter[str]) -> None:
    entrance = Entrance(ledger)
    good = entrance.keys[Role.VIEWER]
    assert entrance.ask("GET", "/v1/events", good).status_code == 200
    assert not refused
    assert entrance.ask("GET", "/v1/events").status_code == 401
    assert refused == {"not_signed_in": 1}
    assert entrance.ask("GET", "/v1/events", good[:-1] + "!").status_code == 401
    # One whose body need not be read.
    assert entrance.ask("POST", "/v1/events/other", "made-up", json={}).status_code == 401
    assert entrance.ask("POST", "/v1/events/other", good, json={}).status_code == 403
    assert refused == {"not_signed_in": 1, "bad_credential": 2, "not_permitted": 1}


def test_too_many_of_one_key_and_too_many_without_a_good_one_are_told_apart(
    ledger: Ledger, refused: Counter[str]
) -> None:
    entrance = Entrance(ledger, rate_key=1.0, rate_address=1.0)
    codes = [entrance.as_(Role.VIEWER, "GET", "/v1/events").status_code for _ in range(20)]
    assert 429 in codes
    assert refused == {"too_many_requests": codes.count(429)}
    codes = [entrance.ask("GET", "/v1/events", "made-up").status_code for _ in range(40)]
    assert 429 in codes
    assert refused["too_many_failures"] == codes.count(429)
    assert refused["bad_credential"] == codes.count(401)


def test_a_sign_in_that_fails_is_a_bad_credential(ledger: Ledger, refused: Counter[str]) -> None:
    client = with_ada(Entrance(ledger)).app.test_client()
    assert sign_in(client, password="wrong").status_code == 401
    assert refused == {"bad_credential": 1}
    assert sign_in(client, password=PASSWORD).status_code == 303
    assert refused == {"bad_credential": 1}


def test_whether_the_issuer_answers_is_told(ledger: Ledger, issuer: issuers.Issuer) -> None:
    told: list[tuple[str, bool]] = []

    def note(_: Any, peer: str, up: bool) -> None:
        if peer == "issuer":  # A ledger of another test may just have been dropped.
            told.append((peer, up))

    issuer.away = True
    given = {"oidc_issuer": issuer.url, "oidc_audience": (issuers.AUDIENCE,)}
    with signals.connection_changed.connected_to(note):
        entrance = Entrance(ledger, **given)
        assert entrance.ask("GET", "/v1/events", issuer.token()).status_code == 503
        assert told == [("issuer", False)]
        issuer.away = False
        entrance = Entrance(ledger, **given)
        assert entrance.ask("GET", "/v1/events", issuer.token()).status_code == 200
        assert told == [("issuer", False), ("issuer", True)]

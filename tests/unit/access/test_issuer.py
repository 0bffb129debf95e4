"""The issuer's keys: whose they are, and for how long they do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from joserfc import jwk

from service.domain import errors
from service.web import issuer
from tests.unit.access.parts import Time

URL = "https://id.example/realm"


class Realm:
    """The documents of an issuer, by address, as they are fetched."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {"issuer": URL, "jwks_uri": "https://id.example/keys"}
        self.keys = [key("one")]
        self.asked: Counter[str] = Counter()

    def __call__(self, url: str, form: dict[str, str] | None = None) -> Any:
        self.asked[url] += 1
        return self.metadata if url.endswith("/.well-known/openid-configuration") else {"keys": self.keys}


def key(kid: str) -> dict[str, Any]:
    return dict(jwk.ECKey.generate_key("P-256", {"kid": kid}).as_dict(private=False))


@pytest.fixture
def realm() -> Realm:
    return Realm()


@pytest.fixture
def known(realm: Realm, time: Time) -> issuer.Issuer:
    return issuer.Issuer(URL, get=realm, now=time)


def test_a_key_that_the_issuer_took_away_does_no_longer_than_keys_are_fresh(
    known: issuer.Issuer, realm: Realm, time: Time
) -> None:
    assert known.keys("one")
    realm.keys = [key("two")]
    time.now += issuer.FRESH - 1
    assert known.keys("one")
    assert realm.asked["https://id.example/keys"] == 1
    time.now += 2
    assert known.keys("one") == []
    assert known.keys("two")


@pytest.mark.parametrize("other", ["https://elsewhere.example", f"{URL}/", "http://id.example/realm", None])
def test_what_another_issuer_says_of_itself_is_not_believed(
    known: issuer.Issuer, realm: Realm, other: str | None
) -> None:
    realm.metadata["issuer"] = other
    with pytest.raises(errors.IssuerUnavailable):
        known.keys("one")
    assert list(realm.asked) == [f"{URL}/.well-known/openid-configuration"]


@pytest.mark.parametrize("place", ["http://id.example/keys", "file:///etc/passwd", "//", None, 7])
def test_keys_are_fetched_by_tls_alone(known: issuer.Issuer, realm: Realm, place: object) -> None:
    realm.metadata["jwks_uri"] = place
    with pytest.raises(errors.IssuerUnavailable):
        known.keys("one")
    assert list(realm.asked) == [f"{URL}/.well-known/openid-configuration"]


def test_keys_without_an_id_do_not_take_each_others_place(known: issuer.Issuer, realm: Realm) -> None:
    one, two = (dict(jwk.ECKey.generate_key("P-256").as_dict(private=False)) for _ in range(2))
    realm.keys = [one, two, key("three")]
    for nameless in (one, two):
        nameless.pop("kid", None)
    assert [found.as_dict(private=False)["x"] for found in known.keys(None)] == [one["x"], two["x"]]
    assert len(known.keys("three")) == 1
    assert known.keys("") == []

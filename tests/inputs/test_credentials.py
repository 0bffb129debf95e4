"""Credentials that are bad, on the wire to a real web process that asks for them: groups 16 to 26.

That every other route refuses them as well is checked in ``tests/integration/access/test_access.py``, from the same
tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from service.domain.access import Role
from tests import issuer as issuers
from tests.door import Door
from tests.entrance import SECRET, Entrance
from tests.inputs import wire
from tests.inputs.conftest import AWAY
from tests.inputs.credentials import KEYS, TOKENS, Headers, Keys, bearer, keys_of, plain
from tests.inputs.wire import JSON, post
from tests.ledgers import Ledger
from tests.patience import wait
from tests.road import Road

pytestmark = pytest.mark.postgres

NOBODY = "/problems/not-signed-in"
BAD = "/problems/bad-credential"
NOT_ALLOWED = "/problems/not-permitted"
SERVER = "the HTTP server"  #: answers itself, without a body
INVALID = 'Bearer realm="millrace", error="invalid_token"'


@dataclasses.dataclass(frozen=True)
class Given:
    """Whom the door knows."""

    keys: Keys
    producer: str  #: a key that may post events of other types only
    issuer: issuers.Issuer

    def token(self, **claims: object) -> str:
        """A good one of somebody who may post."""
        return self.issuer.token(**{"roles": ["operator"]} | claims)


@dataclasses.dataclass(frozen=True)
class Row:
    """With what an event is posted, and what comes back."""

    group: int
    name: str
    headers: Callable[[Given], Headers]
    status: int = 401
    problem: str = BAD  #: type of the problem document, or SERVER
    words: str = ""  #: in its detail


def bad_keys() -> Iterator[Row]:
    for name, (group, headers) in KEYS.items():
        problem = NOBODY if name == "none" else BAD
        yield Row(group, name, lambda given, headers=headers: headers(given.keys), problem=problem)  # type: ignore[misc]


def bad_tokens() -> Iterator[Row]:
    for name, (group, token, words) in TOKENS.items():
        yield Row(group, name, lambda given, token=token: bearer(token(given.issuer)), words=words)  # type: ignore[misc]


ROWS = [
    *bad_keys(),
    *bad_tokens(),
    Row(16, "a good one", lambda given: bearer(given.keys.good), 202, ""),
    Row(16, "lower case", lambda given: plain(f"bearer {given.keys.good}"), 202, ""),
    Row(16, "two headers", lambda given: bearer(given.keys.good) * 2),
    Row(17, "a space at its end", lambda given: bearer(f"{given.keys.good} "), 202, ""),  # It is none of it.
    Row(17, "of one who may not post these", lambda given: bearer(given.producer), 403, NOT_ALLOWED),
    Row(17, "a megabyte", lambda given: bearer("x" * 1_000_000), 431, SERVER),
    Row(18, "a good token", lambda given: bearer(given.token()), 202, ""),
    Row(22, "a list of audiences, with ours", lambda given: bearer(given.token(aud=["a", issuers.AUDIENCE])), 202, ""),
    Row(26, "a token without a role", lambda given: bearer(given.token(roles=["guest"])), 403, NOT_ALLOWED, "no role"),
]  # fmt: skip


@pytest.fixture(scope="module")
def issuer() -> Iterator[issuers.Issuer]:
    with issuers.issuer() as found:
        yield found


@pytest.fixture(scope="module")
def guarded(
    shared_database: str, issuer: issuers.Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Road, Door, Given]]:
    """A road whose door asks who comes."""
    ledger = Ledger(shared_database)
    entrance = Entrance(ledger)
    given = Given(keys_of(entrance), entrance.key("orders", Role.PRODUCER, ("open.order",)), issuer)
    road = Road(shared_database, AWAY, tmp_path_factory.mktemp("guarded"), apps="tests.apps.open_app")
    settings = {"oidc_issuer": issuer.url, "oidc_audience": issuers.AUDIENCE, "rate_address": "100000"}
    door = road.web(access="on", access_secret=SECRET, **settings)
    # It asks for the issuer's keys once, and for a second and a half: on a busy machine they may not come at first.
    token = f"Authorization: Bearer {given.token()}\r\n".encode()
    good = post(to=b"/v1/events", headers=token).replace(b"POST", b"GET", 1)
    wait(lambda: wire.ask(door.address, good)[0].status == 200, 60, "the door knows the issuer's keys", step=1.0)
    yield road, door, given
    road.stop()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.name}")
def test_each_is_answered_and_only_the_good_ones_post(guarded: tuple[Road, Door, Given], row: Row) -> None:
    road, door, given = guarded
    before = len(road.ids())

    def send(headers: Headers) -> wire.Reply:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
        [reply] = wire.ask(door.address, post(headers=JSON + lines))
        return reply

    reply = send(row.headers(given))
    assert reply.status == row.status, reply.body[:300]
    if row.problem == SERVER:
        assert reply.by_server
    elif row.problem:
        assert reply.headers["content-type"] == "application/problem+json"
        assert (reply.document["type"], reply.document["status"]) == (row.problem, row.status)
        assert row.words in reply.document["detail"]
        assert (reply.headers.get("www-authenticate") == INVALID) == (row.problem == BAD)
    assert given.keys.secret.encode() not in reply.body
    assert send(bearer(given.keys.good)).status == 202
    assert len(road.ids()) - before == 1 + (row.status == 202)


def test_the_issuer_was_not_sent_for_what_tokens_name(guarded: tuple[Road, Door, Given]) -> None:
    """Group 21: of the keys that a token names, or brings, nobody asks."""
    _, door, given = guarded
    place = f"{given.issuer.url}/elsewhere"
    for header in ({"jku": place}, {"x5u": place}):
        token = given.issuer.token(header, issuers.key_of("stranger"))
        [reply] = wire.ask(door.address, post(headers=JSON + f"Authorization: Bearer {token}\r\n".encode()))
        assert reply.status == 401
    assert given.issuer.asked["/realm/elsewhere"] == 0
    assert given.issuer.asked["/realm/keys"] > 0

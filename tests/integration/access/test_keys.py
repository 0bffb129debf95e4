"""API keys over HTTP."""

from __future__ import annotations

import concurrent.futures
import datetime
from typing import Any

import pytest

from service.domain import credentials
from service.domain.access import Role
from tests.entrance import Entrance
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def make(entrance: Entrance, **document: Any) -> Any:
    return entrance.as_(Role.ADMIN, "POST", "/v1/keys", json=document)


def test_a_key_is_made_shown_once_used_rotated_and_revoked(entrance: Entrance) -> None:
    made = make(entrance, name="orders-service", role="producer", types=["orders.*", "other"], lasts=86_400)
    assert made.status_code == 201
    document = made.get_json()
    old = document.pop("key")
    assert credentials.id_of(old) == document["id"]
    assert (document["state"], document["created_by"], document["types"]) == ("live", "admin", ["orders.*", "other"])
    assert old.split("_")[2] not in entrance.as_(Role.ADMIN, "GET", "/v1/keys?all=1").text
    assert entrance.ask("POST", "/v1/events/other", old, json={}).status_code == 202

    rotated = entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{document['id']}/rotate?overlap=3600").get_json()
    new = rotated["key"]
    assert (rotated["name"], rotated["role"], rotated["types"]) == ("orders-service", "producer", document["types"])
    for key in (old, new):
        assert entrance.ask("GET", "/v1/types", key).status_code == 200
    third = entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{rotated['id']}/rotate")
    assert (third.status_code, third.get_json()["type"]) == (409, "/problems/two-keys-live")
    assert make(entrance, name="orders-service", role="producer").status_code == 409

    ended = entrance.as_(Role.ADMIN, "DELETE", f"/v1/keys/{document['id']}").get_json()
    assert (ended["state"], ended["revoked_by"]) == ("revoked", "admin")
    assert [entrance.ask("GET", "/v1/types", key).status_code for key in (old, new)] == [401, 200]
    assert entrance.as_(Role.ADMIN, "DELETE", f"/v1/keys/{document['id']}").status_code == 404
    assert entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{document['id']}/rotate").status_code == 404
    listed = {k["id"]: k["state"] for k in entrance.as_(Role.ADMIN, "GET", "/v1/keys?all=1").get_json()["keys"]}
    assert (listed[document["id"]], listed[rotated["id"]]) == ("revoked", "live")
    acts = [(e["act"], e["target"]) for e in entrance.log(actor="admin")]
    assert acts == [
        ("key.created", document["id"]), ("key.rotated", document["id"]), ("key.revoked", document["id"]),
    ]  # fmt: skip


def assert_lasts(key: dict[str, Any], lasts: float | None) -> None:
    """It ends so many seconds after it was made, or never."""
    if lasts is None:
        assert key["expires_at"] is None
    else:
        made, ends = (datetime.datetime.fromisoformat(key[name]) for name in ("created_at", "expires_at"))
        assert (ends - made).total_seconds() == pytest.approx(lasts, abs=1)


@pytest.mark.parametrize("lasts", [None, 90 * 86_400.0])
def test_a_key_that_is_rotated_again_gives_the_new_one_its_whole_age(entrance: Entrance, lasts: float | None) -> None:
    first = make(entrance, name="orders-service", role="producer", lasts=lasts).get_json()["id"]
    for _ in range(3):  # As often as the answer, and the new key with it, is lost.
        new = entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{first}/rotate?overlap=3600").get_json()
        assert_lasts(new, lasts)
        entrance.as_(Role.ADMIN, "DELETE", f"/v1/keys/{new['id']}")


@pytest.mark.parametrize("lasts", [None, 90 * 86_400.0])
def test_a_key_that_an_older_version_has_rotated_gives_the_age_that_it_was_made_with(
    entrance: Entrance, ledger: Ledger, lasts: float | None
) -> None:
    first = make(entrance, name="orders-service", role="producer", lasts=lasts).get_json()["id"]
    ledger.sql(f"update millrace.keys set expires_at = now() + interval '1 hour' where id = '{first}'")
    new = entrance.as_(Role.ADMIN, "POST", f"/v1/keys/{first}/rotate?overlap=3600").get_json()
    assert_lasts(new, lasts)


SLOWLY = """
create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.05); return new; end';
create trigger slowly before insert on millrace.keys for each row execute function slowly()
"""


@pytest.mark.usefixtures("patience_for_locks")
def test_of_many_who_make_a_key_of_one_name_at_once_two_do(entrance: Entrance, ledger: Ledger) -> None:
    ledger.sql(SLOWLY)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: make(entrance, name="one", role="viewer").status_code, range(8)))
    assert sorted(found) == [201, 201] + [409] * 6
    ledger.sql("drop trigger slowly on millrace.keys; drop function slowly")


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], [""]),
        ({}, ["/name", "/role"]),
        ({"name": "A b", "role": "viewer"}, ["/name"]),
        ({"name": "a/b", "role": "viewer"}, ["/name"]),
        ({"name": "oidc:x", "role": "viewer"}, ["/name"]),
        ({"name": "a", "role": "root"}, ["/role"]),
        ({"name": "a", "role": "viewer", "types": ["orders.*"]}, ["/types"]),
        ({"name": "a", "role": "producer", "types": ["Orders", "a.b"]}, ["/types/0"]),
        ({"name": "a", "role": "producer", "types": "a.b"}, ["/types"]),
        ({"name": "a", "role": "viewer", "lasts": -1}, ["/lasts"]),
        ({"name": "a", "role": "viewer", "lasts": 1e300}, ["/lasts"]),
        ({"name": "a", "role": "viewer", "lasts": True}, ["/lasts"]),
        ({"name": "a", "role": "viewer", "id": "x"}, ["/id"]),
    ],
)
def test_what_is_wrong_with_a_key_is_told_part_by_part(entrance: Entrance, document: Any, pointers: list[str]) -> None:
    answer = entrance.as_(Role.ADMIN, "POST", "/v1/keys", json=document)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == pointers


def test_that_a_key_was_used_is_noted(entrance: Entrance, ledger: Ledger) -> None:
    assert ledger.sql("select used_at from millrace.keys where name = 'viewer'") == [(None,)]
    entrance.as_(Role.VIEWER, "GET", "/v1/types")
    assert ledger.sql("select used_at is not null from millrace.keys where name = 'viewer'") == [(True,)]

"""Users over HTTP, and the chain of the log."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.access import Role
from tests.entrance import PASSWORD, Entrance
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_users_are_added_changed_and_removed_over_http(entrance: Entrance) -> None:
    admin = entrance.keys[Role.ADMIN]
    new = {"name": "ada", "role": "operator", "password": PASSWORD}
    assert entrance.ask("POST", "/v1/users?because=she+is+new", admin, json=new).get_json() == {
        "name": "ada", "role": "operator",
    }  # fmt: skip
    assert entrance.ask("POST", "/v1/users", admin, json=new).status_code == 409
    listed = entrance.ask("GET", "/v1/users", admin)
    assert [(user["name"], user["role"], user["created_by"]) for user in listed.get_json()["users"]] == [
        ("ada", "operator", "admin")
    ]
    assert PASSWORD not in listed.text
    assert "argon2" not in listed.text
    other = {"password": f"{PASSWORD} 2"}
    assert entrance.ask("PUT", "/v1/users/ada/password", admin, json=other).status_code == 204
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here") is Role.OPERATOR
    assert entrance.ask("PUT", "/v1/users/eve/password", admin, json=other).status_code == 404
    assert entrance.ask("DELETE", "/v1/users/ada?because=she+left", admin).status_code == 204
    assert entrance.ask("DELETE", "/v1/users/ada", admin).status_code == 404
    log = [(e["act"], e["target"], e["detail"].get("because")) for e in entrance.log(act="user")]
    assert log == [("user.added", "ada", "she is new"), ("user.password", "ada", None),
                   ("user.removed", "ada", "she left")]  # fmt: skip
    assert PASSWORD not in str(entrance.log())


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], [""]),
        ({"name": "ada", "role": "operator"}, ["/password"]),
        ({"name": "ada", "role": 7, "password": PASSWORD, "x": 1}, ["/role", "/x"]),
        ({"name": "A b", "role": "operator", "password": PASSWORD}, ["/name"]),
        ({"name": "ada", "role": "king", "password": PASSWORD}, ["/role"]),
        ({"name": "ada", "role": "operator", "password": "short"}, ["/password"]),
    ],
)
def test_what_is_wrong_with_a_user_is_told_part_by_part(entrance: Entrance, document: Any, pointers: list[str]) -> None:
    answer = entrance.ask("POST", "/v1/users", entrance.keys[Role.ADMIN], json=document)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == pointers


def test_the_chain_of_the_log_is_checked_over_http(entrance: Entrance, ledger: Ledger) -> None:
    admin = entrance.keys[Role.ADMIN]
    found = entrance.ask("GET", "/v1/audit/verify", admin).get_json()
    assert (found["holds"], found["rows"], found["breaks"]) == (True, len(Role), [])
    assert entrance.ask("GET", f"/v1/audit/verify?end={found['end']}", admin).get_json()["end_lost"] is False
    lost = entrance.ask("GET", f"/v1/audit/verify?end={'f' * 64}", admin).get_json()
    assert (lost["end_lost"], lost["holds"]) == (True, False)
    assert entrance.ask("GET", "/v1/audit/verify?end=x", admin).status_code == 422
    ledger.sql("update millrace.audit set actor = 'eve' where n = 2")
    found = entrance.ask("GET", "/v1/audit/verify", admin).get_json()
    assert (found["holds"], [one["n"] for one in found["breaks"]]) == (False, [2])
    assert entrance.as_(Role.OPERATOR, "GET", "/v1/audit/verify").status_code == 403

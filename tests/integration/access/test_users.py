"""Users over HTTP, and the chain of the log."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from service.application import users
from service.domain import errors
from service.domain.access import Role
from tests.entrance import PASSWORD, Entrance
from tests.integration.access.test_strangers import csrf, signed_in
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
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here").role is Role.OPERATOR
    assert entrance.ask("PUT", "/v1/users/eve/password", admin, json=other).status_code == 404
    assert entrance.ask("DELETE", "/v1/users/ada?because=she+left", admin).status_code == 204
    assert entrance.ask("DELETE", "/v1/users/ada", admin).status_code == 404
    log = [(e["act"], e["target"], e["detail"].get("because")) for e in entrance.log(act="user")]
    assert log == [("user.added", "ada", "she is new"), ("user.password", "ada", None),
                   ("user.removed", "ada", "she left")]  # fmt: skip
    assert PASSWORD not in str(entrance.log())


def test_a_role_counts_at_once_and_who_is_disabled_is_out_until_enabled(entrance: Entrance) -> None:
    ada = signed_in(entrance, Role.OPERATOR)

    def admin(method: str, path: str, **more: Any) -> int:
        return entrance.as_(Role.ADMIN, method, f"/v1/users/one-operator/{path}", **more).status_code

    assert admin("PUT", "role?because=new+work", json={"role": "viewer"}) == 204
    assert admin("PUT", "role", json={"role": "viewer"}) == 204
    assert ada.post("/v1/types/other/pause", headers={"X-CSRF-Token": csrf(ada)}).status_code == 403
    assert admin("PUT", "role", json={"role": "king"}) == 422
    for _ in range(2):
        assert admin("POST", "disable") == 200
    assert ada.get("/v1/events").status_code == 401
    assert admin("PUT", "password", json={"password": f"{PASSWORD} 2"}) == 204
    for password in (PASSWORD, f"{PASSWORD} 2", f"!{PASSWORD} 2"):
        with pytest.raises(errors.BadCredential, match="do not match"):
            entrance.operations.users.sign_in("one-operator", password, "here")
    [listed] = entrance.as_(Role.ADMIN, "GET", "/v1/users").get_json()["users"]
    assert (listed["role"], listed["disabled"]) == ("viewer", True)
    for _ in range(2):
        assert admin("POST", "enable") == 200
    assert ada.get("/v1/events").status_code == 401, "the old session is over"
    assert entrance.operations.users.sign_in("one-operator", f"{PASSWORD} 2", "there").role is Role.VIEWER
    for way in ("disable", "enable"):
        assert entrance.as_(Role.ADMIN, "POST", f"/v1/users/eve/{way}").status_code == 404
        assert entrance.as_(Role.OPERATOR, "POST", f"/v1/users/one-operator/{way}").status_code == 403
    log = [(e["act"], e["detail"].get("because")) for e in entrance.log(target="one-operator", act="user")]
    assert log == [("user.added", None), ("user.role", "new work"), ("user.disabled", None), ("user.password", None),
                   ("user.enabled", None)]  # fmt: skip


def test_a_session_that_begins_while_its_user_is_disabled_opens_nothing(entrance: Entrance, ledger: Ledger) -> None:
    ada = signed_in(entrance, Role.OPERATOR)
    assert ada.get("/v1/events").status_code == 200
    ledger.sql("update millrace.users set password = '!' || password")  # As it is between sign-in and session.
    assert ada.get("/v1/events").status_code == 401


def test_the_list_of_sessions_says_how_many_there_are(entrance: Entrance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MOST_SESSIONS", 2)
    admin = signed_in(entrance, Role.ADMIN)
    for role in (Role.VIEWER, Role.OPERATOR):
        signed_in(entrance, role)
    found = entrance.as_(Role.ADMIN, "GET", "/v1/users/sessions").get_json()
    assert (len(found["sessions"]), found["count"]) == (2, 3)
    page = admin.get("/console/users").text
    assert "3 sessions" in page
    assert "the 2 seen last" in page


def test_users_are_managed_in_the_console(entrance: Entrance) -> None:
    admin = signed_in(entrance, Role.ADMIN)
    token = csrf(admin)

    def act(path: str, **form: str) -> TestResponse:
        return admin.post(f"/console/users{path}", data={"csrf": token, **form})

    assert admin.post("/console/users", data={"name": "ada"}).status_code == 403, "without the form's token"
    wrong = act("", name="Ada L", role="viewer", password=PASSWORD)
    assert (wrong.status_code, PASSWORD in wrong.text, "Ada L" in wrong.text) == (422, False, True)
    assert act("", name="ada", role="viewer", password="short").status_code == 422
    assert act("", name="ada", role="viewer", password=PASSWORD).status_code == 303
    again = act("", name="ada", role="viewer", password=PASSWORD)
    assert (again.status_code, "there is a user" in again.text) == (422, True)
    assert act("/ada/role", role="operator", because="new work").status_code == 303
    assert act("/ada/role", role="king").status_code == 422
    assert act("/ada/password", password="short").status_code == 422
    assert act("/ada/password", password=f"{PASSWORD} 2").status_code == 303
    assert entrance.operations.users.sign_in("ada", f"{PASSWORD} 2", "here").role is Role.OPERATOR
    assert act("/ada/disable").status_code == 303
    assert "Enable" in admin.get("/console/users/ada").text
    assert act("/ada/enable").status_code == 303
    assert act("/ada/remove", confirm="eve").status_code == 409
    assert act("/ada/remove", confirm="ada").status_code == 303
    assert admin.get("/console/users/ada").status_code == 404
    log = [(e["act"], e["actor"]) for e in entrance.log(target="ada")]
    assert log == [(f"user.{act}", "one-admin") for act in (
        "added", "role", "password", "disabled", "enabled", "removed",
    )]  # fmt: skip
    operator = signed_in(entrance, Role.OPERATOR)
    for path in ("/console/users", "/console/users/one-admin", "/console/users/one-admin/remove"):
        assert operator.get(path).status_code == 403, path
    assert operator.post("/console/users/one-admin/disable", data={"csrf": csrf(operator)}).status_code == 403


def test_nobody_who_is_signed_in_locks_themselves_out(entrance: Entrance) -> None:
    admin = signed_in(entrance, Role.ADMIN)
    given: dict[str, Any] = {"headers": {"X-CSRF-Token": csrf(admin)}}
    me = "/v1/users/one-admin"
    acts = [("POST", f"{me}/disable", None), ("PUT", f"{me}/role", {"role": "viewer"}), ("DELETE", me, None)]
    for method, path, document in acts:
        answer = admin.open(path, method=method, json=document, **given)
        assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/own-user"), path
        assert "`millrace users` on the host" in answer.get_json()["detail"]
    for act, form in {"disable": {}, "role": {"role": "viewer"}, "remove": {"confirm": "one-admin"}}.items():
        page = admin.post(f"/console/users/one-admin/{act}", data=form, **given)
        assert (page.status_code, "you are signed in as one-admin" in page.text) == (409, True), act
    page = admin.get("/console/users/one-admin").text
    assert "You are signed in as one-admin" in page
    assert not any(f"/console/users/one-admin/{act}" in page for act in ("disable", "role", "remove"))
    assert admin.put(f"{me}/password", json={"password": f"{PASSWORD} 2"}, **given).status_code == 204
    # A key of whatever name is somebody else.
    key = entrance.key("one-admin", Role.ADMIN)
    assert entrance.ask("POST", f"{me}/disable", key).status_code == 200


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

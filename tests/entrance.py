"""A door where access is on, in the test's own process, and what opens it."""

from __future__ import annotations

import json
from typing import Any

from werkzeug.test import TestResponse

from service import web
from service.domain import chain
from service.domain.access import Role
from tests.front import Front
from tests.ledgers import Ledger

SECRET = "a-secret-for-tests-" + "x" * 20
PASSWORD = "correct horse battery"


#: Whatever a test may leave behind that another one would meet.
CLEAR = f"""
truncate millrace.keys, millrace.users, millrace.sessions, millrace.audit, millrace.events, millrace.tickets,
    millrace.tallies, millrace.types, millrace.queues, millrace.idempotency_keys;
update millrace.audit_end set n = 0, hash = '{chain.FIRST}'
"""


class Entrance(Front):
    """A road for ``create_app``, with a key for each role."""

    def __init__(self, ledger: Ledger, **settings: Any) -> None:
        # Nothing is to be slowed down but where a test says so.
        given = {"access": "on", "access_secret": (SECRET,), "rate_address": 1e6, "public_url": ""}
        super().__init__(ledger, **given | settings)
        self._sql = ledger.sql
        self.keys = {role: self.key(role.value, role) for role in Role}
        self.app = web.create_app(self)

    def ledger_sql(self, statement: str) -> list[Any]:
        """One statement, committed; its rows."""
        return self._sql(statement)

    def key(self, name: str, role: Role, types: tuple[str, ...] = (), lasts: float | None = None) -> str:
        """A new key."""
        made = self.operations.keys.create(name=name, role=role.value, types=types, lasts=lasts, by="test")
        return str(made["key"])

    def id(self, name: str) -> str:
        """The id of the live key of this name."""
        [found] = [key["id"] for key in self.operations.key_ledger.list() if key["name"] == name]
        return str(found)

    def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> TestResponse:
        """One request, with a key, from a client of its own."""
        headers = more.pop("headers", {}) | ({"Authorization": f"Bearer {key}"} if key is not None else {})
        return self.app.test_client().open(path, method=method, headers=headers, **more)

    def as_(self, role: Role, method: str, path: str, **more: Any) -> TestResponse:
        """One request by the key of a role."""
        return self.ask(method, path, self.keys[role], **more)

    def log(self, **filters: Any) -> list[dict[str, Any]]:
        """The audit log, the oldest first, as an admin reads it."""
        answer = self.as_(Role.ADMIN, "GET", "/v1/audit", query_string=filters)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = json.loads(answer.data)["audit"]
        return found[::-1]

"""The log of who did what: in the commit of the act, as a chain, and whoever tampers with it is found."""

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg2
import pydantic
import pytest
import sqlalchemy

from service.domain import chain, errors
from service.domain.access import Role
from service.ledger import audit, cancel, transactions
from service.ledger import engine as engines
from service.ledger.audit import AuditLedger
from tests.entrance import Entrance
from tests.ledgers import Ledger
from workers import face

pytestmark = pytest.mark.postgres


class Order(pydantic.BaseModel):
    number: int = 0
    diagnosis: pydantic.SecretStr | None = None
    password: str = ""
    price: float = 0.0


def work(payload: Any, ctx: Any) -> Any:
    """Fail if it is told to."""
    if isinstance(payload, Order) and payload.number < 0:
        raise RuntimeError("below zero")
    return {"token": "t", "number": 1}


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    ledger.handler("orders.created", work, attempts=1, payload=Order, parse=face.parser(Order))
    return ledger


@pytest.fixture
def entrance(ledger: Ledger) -> Entrance:
    return Entrance(ledger)


def verdict(ledger: Ledger) -> audit.Verdict:
    return AuditLedger(ledger.engine).verify()


SCHEDULE = {"name": "nightly", "type": "orders.created", "plan": {"cron": "0 3 * * *"}}


def test_every_act_is_an_entry_with_who_what_whence_and_its_request(entrance: Entrance, ledger: Ledger) -> None:
    waiting, dead = ledger.post("orders.created", {"number": 1})[0], ledger.post("orders.created", {"number": -1})[0]
    ledger.work()
    stays = ledger.post("orders.created", {"number": 1}, {"number": 2})
    acts: list[tuple[str, str, Any, str]] = [
        ("POST", f"/v1/events/{stays[0]}/cancel", None, "event.cancelled"),
        ("POST", "/v1/cancel?type=orders.created", None, "events.cancelled"),
        ("POST", f"/v1/events/{dead}/replay", None, "letter.replayed"),
        ("POST", "/v1/types/orders.created/pause", None, "type.paused"),
        ("POST", "/v1/types/orders.created/resume", None, "type.resumed"),
        ("POST", "/v1/queues/events/pause", None, "queue.paused"),
        ("POST", "/v1/queues/events/resume", None, "queue.resumed"),
        ("POST", "/v1/schedules", SCHEDULE, "schedule.created"),
        ("PATCH", "/v1/schedules/nightly", {"jitter": "5m"}, "schedule.changed"),
        ("POST", "/v1/schedules/nightly/pause", None, "schedule.paused"),
        ("POST", "/v1/schedules/nightly/resume", None, "schedule.resumed"),
        ("POST", "/v1/schedules/nightly/run", None, "schedule.run"),
        (
            "POST", "/v1/schedules/nightly/backfill?since=2026-01-01T00:00:00Z&until=2026-01-03T00:00:00Z", None,
            "schedule.backfilled",
        ),
        ("DELETE", "/v1/schedules/nightly", None, "schedule.deleted"),
        ("GET", f"/v1/events/{waiting}?reveal=a+customer+asks", None, "payload.revealed"),
    ]  # fmt: skip
    for number, (method, path, body, _) in enumerate(acts):
        headers = {"X-Request-Id": f"r{number}", "If-Match": "*"}
        answer = entrance.as_(Role.OPERATOR, method, path, headers=headers, json=body)
        assert answer.status_code < 300, (path, answer.text)
    found = [entry for entry in entrance.log() if entry["actor"] == "operator"]
    assert [(e["act"], e["request_id"]) for e in found] == [(act, f"r{n}") for n, (*_, act) in enumerate(acts)]
    assert {e["address"] for e in found} == {"127.0.0.1"}
    changed = next(e for e in found if e["act"] == "schedule.changed")
    assert changed["detail"]["before"].get("policy", {}) != changed["detail"]["after"]["policy"]
    assert verdict(ledger).breaks == []


def test_what_changes_nothing_is_no_entry(entrance: Entrance, ledger: Ledger) -> None:
    before = len(entrance.log())
    for path in ("/v1/types/orders.created/resume", "/v1/cancel?type=orders.created", "/v1/replay?all=1&dry_run=1"):
        entrance.as_(Role.OPERATOR, "POST", path)
    entrance.as_(Role.VIEWER, "POST", "/v1/types/orders.created/pause")
    assert len(entrance.log()) == before


def test_an_act_and_its_entry_are_one_commit(ledger: Ledger) -> None:
    """What cannot be noted is not done, and what is not done is not noted."""
    [event_id] = ledger.post("orders.created", {})
    cancels = cancel.CancelLedger(ledger.engine)
    ledger.sql("alter table millrace.audit add constraint full_disk check (n < 0) not valid")
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        cancels.cancel(event_id, by="ada")
    assert ledger.states() == {"pending": 1}
    ledger.sql("alter table millrace.audit drop constraint full_disk")
    cancels.cancel(event_id, by="ada")
    with pytest.raises(errors.AlreadyEnded):
        cancels.cancel(event_id, by="eve")
    assert ledger.sql("select actor, n from millrace.audit") == [("ada", 1)]


TAMPERING = {
    "update millrace.audit set actor = 'eve' where n = 3": (3, "row 3 was changed"),
    "update millrace.audit set detail = '{\"a\":  1}' where n = 2": (2, "row 2 was changed"),
    "update millrace.audit set at = at + interval '1 microsecond' where n = 5": (5, "row 5 was changed"),
    "delete from millrace.audit where n = 2": (2, "row 2 is missing"),
    "delete from millrace.audit where n in (2, 3)": (2, "rows 2 to 3 are missing"),
    "delete from millrace.audit where n = 5": (5, "row 5 is missing: the chain goes on to row 5"),
    "delete from millrace.audit": (1, "rows 1 to 5 are missing"),
    "insert into millrace.audit select 6, at, actor, act, target, detail, request_id, address, hash, hash"
    " from millrace.audit where n = 5": (6, "row 6 was changed"),
}


@pytest.mark.parametrize("statement", TAMPERING)
def test_verifying_finds_the_row_that_was_tampered_with(ledger: Ledger, statement: str) -> None:
    for number in range(5):
        AuditLedger(ledger.engine).write("tested", str(number), "ada", number=number)
    assert (verdict(ledger).rows, verdict(ledger).breaks) == (5, [])
    ledger.sql(statement)
    first = verdict(ledger).breaks[0]
    assert (first.n, first.what[: len(TAMPERING[statement][1])]) == TAMPERING[statement]


def test_a_chain_written_anew_is_told_from_a_hash_that_was_kept(ledger: Ledger) -> None:
    log = AuditLedger(ledger.engine)
    log.write("tested", None, "ada")
    kept = log.verify().end
    ledger.sql("delete from millrace.audit")
    ledger.sql(f"update millrace.audit_end set n = 0, hash = '{chain.FIRST}'")
    log.write("tested", None, "eve")
    assert log.verify().breaks == []
    assert not log.holds(kept)
    assert log.holds(log.verify().end)


@pytest.mark.usefixtures("patience_for_locks")
def test_acts_at_once_make_one_chain(ledger: Ledger) -> None:
    log = AuditLedger(engines.Engine(ledger.url, size=4))
    threads = [threading.Thread(target=lambda: [log.write("tested", None, "ada") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (verdict(ledger).rows, verdict(ledger).breaks) == (80, [])


def test_the_road_does_not_wait_for_the_chain_and_an_operator_not_for_ever(ledger: Ledger) -> None:
    with psycopg2.connect(ledger.url) as held, held.cursor() as cursor:
        cursor.execute("select * from millrace.audit_end for update")
        ids = ledger.post("orders.created", {"number": 1})  # The road goes on,
        ledger.work()
        assert ledger.states() == {"succeeded": len(ids)}
        with pytest.raises(errors.BeingWorked), transactions.begin(ledger.engine) as connection:
            audit.write(connection, "tested", None, "ada")  # an operator waits, and not for ever.
    held.close()


def test_the_log_is_listed_by_filter_and_page_by_page(entrance: Entrance, ledger: Ledger) -> None:
    for number in range(5):
        AuditLedger(ledger.engine).write("type.paused", "a_b" if number % 2 else "axb", "ada", password="p")
    AuditLedger(ledger.engine).write("type.resumed", "a_b", "bob")
    assert len(entrance.log(actor="ada")) == 5
    assert [e["act"] for e in entrance.log(act="type", actor="bob")] == ["type.resumed"]
    assert entrance.log(act="type%") == []
    assert len(entrance.log(target="a_b")) == 3
    assert entrance.log(actor="ada")[0]["detail"] == {"password": "***"}
    pages, cursor = [], ""
    while True:
        answer = entrance.as_(Role.ADMIN, "GET", f"/v1/audit?limit=4{cursor}").get_json()
        pages += answer["audit"]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert [e["n"] for e in pages] == list(range(len(pages), 0, -1))
    for bad in ("cursor=0", "cursor=x", "limit=0", "limit=1e9", "since=yesterday", "sort=at", "actor="):
        assert entrance.as_(Role.ADMIN, "GET", f"/v1/audit?{bad}").status_code == 422, bad


# --- masks ----------------------------------------------------------------------------------------------------------


def test_payloads_are_masked_unless_somebody_who_may_says_why(entrance: Entrance, ledger: Ledger) -> None:
    payload = {"number": 1, "diagnosis": "d", "password": "p", "price": 1.5, "nested": [{"cardNumber": 4}]}
    [event_id] = ledger.post("orders.created", payload)
    ledger.work()
    place = f"/v1/events/{event_id}"
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        shown = entrance.as_(role, "GET", place).get_json()
        assert shown["payload"] == payload | {
            "diagnosis": "***", "password": "***", "nested": [{"cardNumber": "***"}],
        }  # fmt: skip
        assert shown["result"] == {"token": "***", "number": 1}
        places = ["/payload/diagnosis", "/payload/nested/0/cardNumber", "/payload/password", "/result/token"]
        assert sorted(shown["masked"]) == places
    before = len(entrance.log())
    refused = entrance.as_(Role.VIEWER, "GET", f"{place}?reveal=i+want+to")
    assert (refused.status_code, refused.get_json()["permission"]) == (403, "payloads.reveal")
    assert entrance.as_(Role.OPERATOR, "GET", f"{place}?reveal=").status_code == 422
    assert entrance.as_(Role.OPERATOR, "GET", f"{place}?revel=why").status_code == 422
    assert len(entrance.log()) == before
    shown = entrance.as_(Role.OPERATOR, "GET", f"{place}?reveal=ticket+4711").get_json()
    assert (shown["payload"], shown["result"], shown["masked"]) == (payload, {"token": "t", "number": 1}, [])
    last = entrance.log()[-1]
    assert (last["act"], last["actor"], last["target"]) == ("payload.revealed", "operator", event_id)
    assert last["detail"] == {"reason": "ticket 4711"}


def test_what_cannot_be_noted_is_not_shown(entrance: Entrance, ledger: Ledger) -> None:
    [event_id] = ledger.post("orders.created", {"password": "p"})
    ledger.sql("alter table millrace.audit rename to elsewhere")
    answer = entrance.as_(Role.OPERATOR, "GET", f"/v1/events/{event_id}?reveal=ticket+4711")
    assert answer.status_code >= 500
    assert '"p"' not in answer.text


def test_no_number_loses_a_digit_beside_a_mask(entrance: Entrance, ledger: Ledger) -> None:
    ledger.handler("other", work)
    ledger.sql(
        "insert into millrace.events (id, type, payload) values ('01a1fac5-2b4a-76a7-8ab1-b1998b705c1b', 'other',"
        """ '{"pin": 1, "n": 12345678901234567890123, "f": 0.1234567890123456789, "s": "\\u0001"}')"""
    )
    shown = entrance.as_(Role.VIEWER, "GET", "/v1/events/01a1fac5-2b4a-76a7-8ab1-b1998b705c1b").text
    for exact in ('"n":12345678901234567890123', '"f":0.1234567890123456789', '"pin":"***"'):
        assert exact in shown.replace(": ", ":"), shown
    ledger.sql("delete from millrace.events")


def test_a_schedules_payload_is_masked_for_those_who_may_not_change_it(entrance: Entrance) -> None:
    payload = {"number": 1, "password": "p"}
    made = entrance.as_(Role.OPERATOR, "POST", "/v1/schedules", json=SCHEDULE | {"payload": payload})
    assert made.get_json()["payload"] == payload
    seen = entrance.as_(Role.VIEWER, "GET", "/v1/schedules/nightly").get_json()["payload"]
    assert seen == {"number": 1, "password": "***"}


def test_the_log_has_no_key_in_it(entrance: Entrance, ledger: Ledger) -> None:
    """Nor has the ledger: from a copy of it nobody can make a key."""
    secrets = [key.split("_")[2] for key in entrance.keys.values()]
    for table in ("keys", "audit", "sessions", "users"):
        text = json.dumps(ledger.sql(f"select t::text from millrace.{table} t"))
        assert not [secret for secret in secrets if secret in text], table

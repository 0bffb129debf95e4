"""What the door reads beside the body: times in the query, keys, preferences, trace contexts."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.web import prefer, trace
from tests.answers import document
from tests.memory import Road

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def post(client: FlaskClient, query: str = "", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/events/a.b{query}", json=1, headers=named)


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("run_at=tomorrow", "run_at"), ("run_at=1767225600", "run_at"), ("run_at=2026-01-31T08:00:00", "run_at"),
        ("run_at=2026-01-31", "run_at"), ("run_at=2026-01-31T24:00:00Z", "run_at"), ("run_at=", "run_at"),
        ("run_at=2026-02-29T00:00:00Z", "run_at"), ("run_at=10000-01-01T00:00:00Z", "run_at"),
        ("run_at=9999-12-31T23:59:59-14:00", "run_at"), ("run_at=9999-01-01T00:00:00Z", "run_at"),
        ("expires_at=never", "expires_at"), ("delay=-1", "delay"), ("delay=nan", "delay"), ("delay=1e3", "delay"),
        ("delay=inf", "delay"), ("delay=99999999999", "delay"), ("delay=", "delay"), ("delay=%D9%A1", "delay"),
        ("delay=5&run_at=2096-01-01T00:00:00Z", "delay"), ("delay=5&delay=6", "delay"), ("dealy=5", "dealy"),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_told_by_name(
    road: Road, client: FlaskClient, query: str, parameter: str
) -> None:
    found = document(post(client, f"?{query}"), 422)
    assert [fault["parameter"] for fault in found["errors"]] == [parameter]
    assert not road.intake.stored


@pytest.mark.parametrize("zone", ["Z", "z", "+00:00", "%2B00:00", "-00:00"])
def test_a_plus_that_was_not_escaped_is_understood(road: Road, client: FlaskClient, zone: str) -> None:
    document(post(client, f"?run_at=2096-01-31T08:00:00.5{zone}&expires_at=2096-01-31t18:00:00+10:00"), 202)
    (new,) = road.intake.stored
    assert str(new.run_at) == "2096-01-31 08:00:00.500000+00:00"
    assert str(new.expires_at) == "2096-01-31 08:00:00+00:00"


# --- Idempotency-Key ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e"', "8e03978e"), ("8e03978e", "8e03978e"), (r'"a\"b\\c"', r'a"b\c'), ('"a b, c;d"', "a b, c;d"),
        ('"k"; a=1;b="x;\\"y"; c', "k"), ('"k";a', "k"), ('"' + "x" * 255 + '"', "x" * 255), ("'single'", "'single'"),
    ],
)  # fmt: skip
def test_a_key_is_a_string_of_structured_fields_or_a_bare_token(
    road: Road, client: FlaskClient, header: str, key: str
) -> None:
    document(post(client, Idempotency_Key=header), 202)
    assert [new.key for new in road.intake.stored] == [key]


@pytest.mark.parametrize(
    "header",
    ["", '""', '"', '"a', 'a"', r'"a\b"', '"ä"', '"a" "b"', '"a","b"', "a b", "(a b)", "?1;", '"k";A=1', '"k";',
     "x" * 256],
)  # fmt: skip
def test_a_key_that_is_none_is_a_400(road: Road, client: FlaskClient, header: str) -> None:
    assert document(post(client, Idempotency_Key=header), 400)["type"] == "/problems/invalid-header"
    assert not road.intake.stored


def test_a_key_is_unique_within_its_producer_which_no_user_agent_names(road: Road, client: FlaskClient) -> None:
    post(client, Idempotency_Key="k", X_Producer="shop", User_Agent="curl/8")
    post(client, Idempotency_Key="k", User_Agent="curl/8")
    assert [(new.scope, new.producer) for new in road.intake.stored] == [("shop", "shop"), ("", "curl")]


# --- Prefer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5), ("Wait = 5", 5), ('wait="5"', 5), ("respond-async, wait=5", 5),
        ('foo="a, wait=1"; x, wait=5', 5),
        ("wait=5; x=1", 5), ("wait=5, wait=9", 5), ("wait=31", 30), ("wait=999999999", 30),
        ("handling=strict,wait=5", 5),
        ("wait", 0), ("wait=0", 0), ("wait=-1", 0), ("wait=x", 0), ("wait=1.5", 0), ("waiting=5", 0), ("", 0),
        (",,;;", 0), ('"', 0), ("wait=", 0), ("return=minimal", 0), ("wait=" + "9" * 5000, 0),
        ('"' * 100_000, 0), (";" * 100_000, 0), (None, 0),
    ],
)  # fmt: skip
def test_how_long_a_client_would_wait(header: str | None, seconds: int) -> None:
    assert prefer.seconds(header) == seconds


def test_a_preference_that_asks_for_nothing_is_not_applied(client: FlaskClient) -> None:
    for header in ("wait=0", "wait=x", "respond-async"):
        answer = post(client, Prefer=header)
        assert document(answer, 202)["state"] == "pending"
        assert "Preference-Applied" not in answer.headers


# --- traceparent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (TRACE, TRACE),
        (TRACE[:-2] + "ff", TRACE[:-2] + "ff"),
        ("cc" + TRACE[2:], TRACE),
        ("cc" + TRACE[2:] + "-what-comes-later", TRACE),
        ("cc" + TRACE[2:-2] + "fe", TRACE[:-2] + "00"),
        ("ff" + TRACE[2:], None),
        ("cc" + TRACE[2:] + ".what", None),
        (TRACE + "-00", None),
        (TRACE + "-", None),
        (TRACE.upper(), None),
        (TRACE[:-1], None),
        (" " + TRACE, None),
        (TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), None),
        (TRACE.replace("b7ad6b7169203331", "0" * 16), None),
        ("", None),
        (None, None),
    ],
)  # fmt: skip
def test_only_a_valid_trace_context_is_handed_on(header: str | None, kept: str | None) -> None:
    assert trace.valid(header) == kept


def test_an_event_without_a_valid_trace_context_is_taken_all_the_same(road: Road, client: FlaskClient) -> None:
    for header in (TRACE, "junk"):
        document(post(client, traceparent=header), 202)
    assert [new.traceparent for new in road.intake.stored] == [TRACE, None]

"""CloudEvents 1.0 over HTTP: what each content mode becomes, and what is refused."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.domain import event, handlers
from service.web import cloudevents
from tests.answers import problem
from tests.memory import Road

STRUCTURED = "application/cloudevents+json"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = {"specversion": "1.0", "id": "A-1", "source": "/shop/7", "type": "a.b"}
HEADERS = {f"ce-{name}": value for name, value in EVENT.items()}


def post(client: FlaskClient, document: Any, kind: str = STRUCTURED, query: str = "") -> TestResponse:
    return client.post(f"/v1/events{query}", data=json.dumps(document), content_type=kind)


def stored(road: Road) -> event.NewEvent:
    """The one event that was stored."""
    (found,) = road.intake.stored
    return found


def attributes(road: Road) -> Any:
    return json.loads(stored(road).attributes or "null")


# --- structured mode (HTTP 3.2) -------------------------------------------------------------------------------------


def test_a_structured_event_is_taken_with_its_data_as_payload(road: Road, client: FlaskClient) -> None:
    answer = post(client, EVENT | {"data": {"n": 1}, "datacontenttype": "application/json"})
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/events/{answer.json['id']}"  # type: ignore[index]
    assert (stored(road).type, stored(road).payload) == ("a.b", '{"n":1}')


def test_the_example_of_the_specification_is_taken(road: Road) -> None:
    """JSON 3.2, with a type that is handled here."""
    road.registry.add(handlers.Handler("com.example.someevent", print))
    document = {
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "subject": None,
        "id": "B234-1234-1234", "time": "2018-04-05T17:31:00Z", "comexampleextension1": "value",
        "comexampleothervalue": 5, "unsetextension": None, "datacontenttype": "application/vnd.api+json",
        "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
    }  # fmt: skip
    assert post(road.client(), document).status_code == 202
    assert json.loads(stored(road).payload) == document["data"]
    assert attributes(road) == {
        "source": "/mycontext", "id": "B234-1234-1234", "time": "2018-04-05T17:31:00Z",
        "comexampleextension1": "value", "comexampleothervalue": 5,
    }  # fmt: skip


def test_data_may_be_missing_and_may_be_anything_that_is_json(road: Road, client: FlaskClient) -> None:
    for data in ({}, {"data": None}, {"data": 3}, {"data": "x"}, {"data": [1]}):
        assert post(client, EVENT | data).status_code == 202
    assert [e.payload for e in road.intake.stored] == ["null", "null", "3", '"x"', "[1]"]


def test_source_and_id_are_the_idempotency_key_whoever_sends_it(road: Road, client: FlaskClient) -> None:
    post(client, EVENT)
    client.post("/v1/events", headers=HEADERS | {"X-Producer": "relay", "Idempotency-Key": '"other"'})
    one, other = road.intake.stored
    assert (one.scope, one.key, one.fingerprint) == (other.scope, other.key, other.fingerprint)
    assert one.key == "A-1"
    post(client, EVENT | {"source": "/shop/8"})
    post(client, EVENT | {"data": 1})
    post(client, EVENT | {"subject": "x"})
    *_, elsewhere, another, about = road.intake.stored
    assert elsewhere.scope != one.scope
    assert one.fingerprint not in (another.fingerprint, about.fingerprint)


def test_no_producer_can_take_the_keys_of_cloudevents() -> None:
    road = Road(handlers.Handler("a.b", print))
    client = road.client()
    headers = {"X-Producer": "cloudevents /shop/7", "Idempotency-Key": "A-1"}
    client.post("/v1/events/a.b", json={}, headers=headers)
    post(client, EVENT)
    assert len({e.scope for e in road.intake.stored}) == 2
    assert "\n" in road.intake.stored[1].scope


def test_keys_of_any_length_fit_into_the_ledgers_index(road: Road, client: FlaskClient) -> None:
    long = "ä" * 5000
    assert post(client, EVENT | {"id": long, "source": long}).status_code == 202
    assert len(stored(road).scope.encode()) + len((stored(road).key or "").encode()) < 2000
    assert attributes(road)["id"] == long


def test_base64_is_taken_when_it_is_json(road: Road, client: FlaskClient) -> None:
    data = base64.b64encode(b'{"n": [1]}').decode()
    assert post(client, EVENT | {"data_base64": data}).status_code == 202
    assert stored(road).payload == '{"n":[1]}'


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"data_base64": base64.b64encode(b"\x89PNG").decode()}, "/data_base64"),
        ({"data_base64": base64.b64encode(b"NaN").decode()}, "/data_base64"),
        ({"data_base64": "e30"}, "/data_base64"),
        ({"data_base64": 3}, "/data_base64"),
        ({"data_base64": "ä"}, "/data_base64"),
        ({"data": "<a/>", "datacontenttype": "text/xml"}, "/datacontenttype"),
        ({"data": {}, "datacontenttype": "application/json; charset=utf-16"}, "/datacontenttype"),
    ],
)  # fmt: skip
def test_data_that_is_no_json_is_a_422(road: Road, client: FlaskClient, members: Any, pointer: str) -> None:
    found = problem(post(client, EVENT | members), 422)
    assert [fault["pointer"] for fault in found["errors"]] == [pointer]
    assert not road.intake.stored


@pytest.mark.parametrize("version", [None, "0.3", "1.1", "2.0", "1.0.1", "", 1, 1.0, "1"])
def test_another_specversion_is_a_400(client: FlaskClient, version: Any) -> None:
    found = problem(post(client, EVENT | {"specversion": version}), 400)
    assert [e["attribute"] for e in found["errors"]] == ["specversion"]
    problem(client.post("/v1/events", headers=HEADERS | {"ce-specversion": f"{version}?"}), 400)


#: Attribute → values that are refused.
WRONG: dict[str, tuple[Any, ...]] = {
    "id": ("", " ", None, 3, "\u0007", ["x"]),
    "source": ("", None, {}, "\u0085"),
    "type": ("", None, 7, True),
    "subject": ("", 4, "\ufffe"),
    "time": ("yesterday", "2026-01-31", "2026-01-31T08:00:00", 1700000000, "2026-02-30T00:00:00Z"),
    "expirytime": ("soon", 5),
    "dataschema": ("", "not a uri", "/relative", 1),
    "datacontenttype": (5, ""),
    "ext": ({"a": 1}, [1], 1.5, 2**31, -(2**31) - 1, "\ufdd0"),
    "Upper": ("x",),
    "with_underscore": ("x",),
    "with-dash": ("x",),
    "ä": ("x",),
    "": ("x",),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_attributes_that_the_specification_forbids_are_a_400_by_name(
    road: Road, client: FlaskClient, name: str, value: Any
) -> None:
    found = problem(post(client, EVENT | {name: value}), 400)
    assert found["type"] == "/problems/invalid-cloud-event"
    assert [fault["attribute"] for fault in found["errors"]] == [name]
    assert not road.intake.stored


def test_both_kinds_of_data_at_once_are_a_400(client: FlaskClient) -> None:
    found = problem(post(client, EVENT | {"data": {}, "data_base64": "e30="}), 400)
    assert found["errors"][0]["attribute"] == "data_base64"


def test_what_is_no_object_and_what_is_no_strict_json_is_a_400(client: FlaskClient) -> None:
    for document in (None, 3, "x", []):
        problem(post(client, document), 400)
    answer = client.post("/v1/events", data=b'{"id": 1, "id": 2}', content_type=STRUCTURED)
    assert problem(answer, 400)["type"] == "/problems/not-strict-json"


def test_an_unknown_type_is_a_404_and_a_payload_that_does_not_fit_is_told_where_it_stands(road: Road) -> None:
    from workers import face

    road.registry.add(handlers.Handler("a.int", print, parse=face.parser(dict[str, int])))
    assert problem(post(road.client(), EVENT | {"type": "a.c"}), 404)["detail"].count("a.b")
    found = problem(post(road.client(), EVENT | {"type": "a.int", "data": {"x": "y"}}), 422)
    assert [fault["pointer"] for fault in found["errors"]] == ["/data/x"]


def test_a_payload_may_be_as_deep_as_one_that_comes_alone(client: FlaskClient) -> None:
    deepest = json.loads("[" * 32 + "]" * 32)
    assert post(client, EVENT | {"data": deepest}).status_code == 202
    problem(post(client, EVENT | {"data": [deepest]}), 400)


def test_traceparent_of_the_event_goes_before_that_of_the_request(road: Road, client: FlaskClient) -> None:
    other = TRACE.replace("0af7", "1af7")
    client.post("/v1/events", headers=HEADERS | {"ce-traceparent": TRACE, "traceparent": other})
    client.post("/v1/events", headers=HEADERS | {"traceparent": other})
    client.post("/v1/events", headers=HEADERS | {"ce-traceparent": "junk"})
    assert [e.traceparent for e in road.intake.stored] == [TRACE, other, None]


def test_times_come_from_the_query_and_expirytime_from_the_event(road: Road, client: FlaskClient) -> None:
    late = "2096-01-01T00:00:00Z"
    assert post(client, EVENT | {"expirytime": late}, query="?delay=90").status_code == 202
    new = stored(road)
    assert (new.delay, new.expires_at and new.expires_at.year) == (90.0, 2096)
    assert problem(post(client, EVENT, query="?atomic=1"), 422)["errors"][0]["parameter"] == "atomic"


# --- binary mode (HTTP 3.1) -----------------------------------------------------------------------------------------


def test_a_binary_event_has_its_attributes_in_headers_and_its_data_in_the_body(road: Road, client: FlaskClient) -> None:
    headers = HEADERS | {
        "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80",
        "ce-time": "2026-01-31T08:00:00Z",
        "ce-ext1": "5",
    }
    assert client.post("/v1/events", json={"n": 1}, headers=headers).status_code == 202
    assert stored(road).payload == '{"n":1}'
    assert attributes(road) == {
        "id": "A-1", "source": "/shop/7", "subject": "Euro € 😀", "time": "2026-01-31T08:00:00Z", "ext1": "5",
    }  # fmt: skip


def test_a_binary_event_needs_no_data(road: Road, client: FlaskClient) -> None:
    assert client.post("/v1/events", headers=HEADERS).status_code == 202
    assert stored(road).payload == "null"


def test_a_binary_event_with_other_data_is_a_415(client: FlaskClient) -> None:
    problem(client.post("/v1/events", data=b"<a/>", content_type="text/xml", headers=HEADERS), 415)
    problem(client.post("/v1/events", data=b"", content_type="application/json", headers=HEADERS), 400)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("plain", "plain"),
        ("a%20b", "a b"),
        ("%41", "A"),  # Encoded without need: it must be accepted.
        ("100%25", "100%"),
        ("%2541", "%41"),  # One round only.
        ("%e2%82%ac", "€"),
        ('"quoted"', "quoted"),
        (r'"a \"b\" \\c"', 'a "b" \\c'),
        ('"a%20b"', "a b"),
        ('half"', 'half"'),
        ('"', '"'),
    ],
)  # fmt: skip
def test_header_values_are_decoded_as_the_binding_says(header: str, value: str) -> None:
    assert cloudevents.decoded(header) == value


@pytest.mark.parametrize("header", ["%C0%A0", "%ff", "%ED%A0%80", "%", "50%", "%4", "%zz", "a\x07b", "Ã¤"])
def test_header_values_that_cannot_be_decoded_are_a_400(client: FlaskClient, header: str) -> None:
    with pytest.raises(ValueError, match=r"wanted|written|UTF-8"):
        cloudevents.decoded(header)
    if header.isprintable():
        answer = client.post("/v1/events", headers=HEADERS | {"ce-subject": header})
        assert problem(answer, 400)["errors"][0]["attribute"] == "subject"


@given(st.text())
def test_what_was_encoded_as_the_binding_says_comes_back(text: str) -> None:
    encoded = "".join(c if "!" <= c <= "~" and c not in '"%' else urllib.parse.quote(c, safe="") for c in text)
    assert cloudevents.decoded(encoded) == text


def test_a_header_with_a_name_that_no_attribute_has_is_a_400(client: FlaskClient) -> None:
    answer = client.post("/v1/events", headers=HEADERS | {"ce-my-ext": "x"})
    assert problem(answer, 400)["errors"][0]["attribute"] == "my-ext"


def test_a_control_character_that_was_encoded_is_a_400(client: FlaskClient) -> None:
    answer = client.post("/v1/events", headers=HEADERS | {"ce-subject": "a%00b"})
    assert problem(answer, 400)["errors"][0]["attribute"] == "subject"


# --- batch mode (HTTP 3.3) ------------------------------------------------------------------------------------------


def test_a_batch_has_an_answer_for_each_of_its_events(road: Road, client: FlaskClient) -> None:
    batch = [EVENT, EVENT | {"id": "A-2", "specversion": "0.3"}, EVENT | {"id": "A-3", "type": "a.c"}, 7]
    answer = post(client, batch, "application/cloudevents-batch+json")
    assert answer.status_code == 207
    found = json.loads(answer.data)
    assert [(i["index"], i["status"]) for i in found["items"]] == [(0, 202), (1, 400), (2, 404), (3, 400)]
    assert (found["accepted"], found["refused"], len(road.intake.stored)) == (1, 3, 1)


def test_a_batch_may_be_empty_and_is_an_array(client: FlaskClient) -> None:
    assert post(client, [], "application/cloudevents-batch+json").status_code == 202
    assert problem(post(client, {}, "application/cloudevents-batch+json"), 400)["errors"][0]["attribute"] == ""


def test_anything_else_is_a_415_that_names_what_is_taken(client: FlaskClient) -> None:
    for kind in ("application/json", "application/cloudevents+avro", "application/cloudevents+xml", "text/plain", ""):
        answer = client.post("/v1/events", data=json.dumps(EVENT), content_type=kind)
        assert STRUCTURED in problem(answer, 415)["detail"]

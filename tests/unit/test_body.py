"""The JSON that the door takes: what it refuses, with the place that is wrong, and what comes through unharmed."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.domain import handlers
from service.web import body
from tests.memory import Road

URL = "/v1/events/a.b"
MAX_BODY = 256 * 1024  #: bytes
MAX_DEPTH = 32
DEEPEST = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH


@pytest.fixture
def road() -> Road:
    return Road(handlers.Handler("a.b", print))


@pytest.fixture
def client(road: Road) -> FlaskClient:
    return road.client()


def post(client: FlaskClient, data: bytes, content_type: str | None = "application/json", **headers: str) -> Any:
    return client.post(URL, data=data, content_type=content_type, headers=headers)


def post_chunked(client: FlaskClient, data: bytes) -> TestResponse:
    """As servers hand over a body whose length nobody has told."""
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    return client.post(URL, input_stream=io.BytesIO(data), content_type="application/json", environ_overrides=environ)


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """The problem document of an answer with this status."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    document: dict[str, Any] = json.loads(answer.data)
    assert document["status"] == status
    return document


# --- what is refused ------------------------------------------------------------------------------------------------

#: Name → (body, JSON pointer, words of the detail).
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "", "empty"),
    "spaces": (b" \n", "", "truncated"),
    "cut short": (b'{"a": [1, 2', "", "truncated"),
    "trailing junk": (b'{"a": 1} x', "", "trailing"),
    "two documents": (b"{} {}", "", "trailing"),
    "trailing NUL": (b"{}\x00", "", "trailing"),
    "trailing comma": (b"[1, 2,]", "", "comma"),
    "comment": (b"[1] // one", "", "trailing"),
    "single quotes": (b"{'a': 1}", "", "byte 1"),
    "Python": (b'{"a": None}', "", "byte 6"),
    "raw line break": (b'{"a": "x\ny"}', "", "byte 8"),
    "NaN": (b'{"a": NaN}', "", "byte 6"),
    "Infinity": (b"[1, Infinity]", "", "byte 4"),
    "-Infinity": (b"[-Infinity]", "", "byte 2"),
    "1e999": (b'{"a": [1e999]}', "", "out of range"),
    "5000 digits": (b"[" + b"7" * 5000 + b"]", "", "out of range"),
    "leading zero": (b"[007]", "", "number"),
    "hexadecimal": (b"[0x1f]", "", "byte 2"),
    "repeated key": (b'{"a": 1, "b": 2, "a": 1}', "/a", "repeated"),
    "repeated key below": (b'{"a": [0, {"b": 1, "b": 2}]}', "/a/1/b", "repeated"),
    "repeated key, escaped": (b'{"a": 1, "\\u0061": 2}', "/a", "repeated"),
    "repeated key, escaped colons": (b'{"x": ":", "\\u003a": 1, "\\u003A": 2}', "/:", "repeated"),
    "repeated key, odd name": (b'{"a/~": 1, "a/~": 2}', "/a~1~0", "repeated"),
    "NUL in a string": (b'{"a": ["", "x\\u0000"]}', "/a/1", "NUL"),
    "NUL in a key": (b'{"a": {"\\u0000": 1}}', "/a/\0", "NUL"),
    "raw NUL": (b'{"a": "\x00"}', "", "byte 7"),
    "first half of a pair": (b'{"a": "\\ud800"}', "", "surrogate"),
    "second half of a pair": (b'{"a": "\\udc00"}', "", "surrogate"),
    "halves in the wrong order": (b'["\\udc00\\ud800"]', "", "surrogate"),
    "byte order mark": (b"\xef\xbb\xbf{}", "", "byte order mark"),
    "UTF-16": ('{"a": "ä"}'.encode("utf-16"), "", "byte 0"),
    "UTF-16 without a mark": ('{"a": "ä"}'.encode("utf-16-le"), "", "byte 1"),
    "Latin-1": ('{"a": "ä"}'.encode("latin-1"), "", "not UTF-8"),
    "no UTF-8 at all": (b'["\xff"]', "", "not UTF-8"),
    "overlong slash": (b'["\xc0\xaf"]', "", "not UTF-8"),
    "surrogate in UTF-8": (b'["\xed\xa0\x80"]', "", "not UTF-8"),
    "33 arrays": (b"[" + DEEPEST + b"]", "", "deeper than 32"),
    "33 objects": (b'{"a":' * 33 + b"1" + b"}" * 33, "", "deeper than 32"),
    "100,000 arrays": (b"[" * 100_000 + b"]" * 100_000, "", "deeper than 32"),
    "arrays without an end": (b"[" * 200_000, "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("data", "pointer", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_not_strict_json_is_refused_with_its_place(
    road: Road, client: FlaskClient, data: bytes, pointer: str, words: str
) -> None:
    document = problem(post(client, data), 400)
    assert document["type"] == "/problems/not-strict-json"
    (fault,) = document["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]
    assert not road.intake.stored


@pytest.mark.parametrize("name", ["Latin-1", "no UTF-8 at all", "overlong slash", "surrogate in UTF-8"])
def test_the_byte_that_is_not_utf_8_is_named(client: FlaskClient, name: str) -> None:
    data = REFUSED[name][0]
    place = len(data.decode(errors="replace").partition("�")[0].encode())
    assert f"byte {place}" in problem(post(client, data), 400)["errors"][0]["detail"]


def test_all_that_is_wrong_is_told_at_once_but_not_without_end(client: FlaskClient) -> None:
    data = b'{"a": 1, "a": "\\u0000", "b": "\\u0000"}'
    assert [f["pointer"] for f in problem(post(client, data), 400)["errors"]] == ["/a", "/a", "/b"]
    many = b"[" + b",".join([b'"\\u0000"'] * 1000) + b"]"
    assert [f["pointer"] for f in problem(post(client, many), 400)["errors"]] == [f"/{n}" for n in range(10)]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/jsonp", "application/json; charset=utf-7", "application/json; charset=latin-1", "application/cbor",
     "application/x-python-serialize", "application/+json"],
)  # fmt: skip
def test_another_media_type_is_refused(road: Road, client: FlaskClient, content_type: str | None) -> None:
    assert "JSON" in problem(post(client, b"{}", content_type), 415)["detail"].upper()
    assert not road.intake.stored


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "deflate", "x"])
def test_a_compressed_body_is_refused_unopened(client: FlaskClient, encoding: str) -> None:
    document = problem(post(client, b"\x1f\x8b", **{"Content-Encoding": encoding}), 415)
    assert encoding in document["detail"]


# --- sizes ----------------------------------------------------------------------------------------------------------


def of_size(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


@pytest.mark.fault(31)
def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(road: Road, client: FlaskClient) -> None:
    assert post(client, of_size(MAX_BODY)).status_code == 202
    problem(post(client, of_size(MAX_BODY + 1)), 413)
    assert len(road.intake.stored) == 1


def test_a_chunked_body_is_taken_like_any_other(road: Road, client: FlaskClient) -> None:
    assert post_chunked(client, b'{"a": 1}').status_code == 202
    assert [new.payload for new in road.intake.stored] == ['{"a":1}']


@pytest.mark.fault(31)
@pytest.mark.parametrize("data", [of_size(MAX_BODY + 1), b"[1]" + b" " * MAX_BODY], ids=["long string", "long tail"])
def test_a_chunked_body_that_is_too_large_is_not_taken_for_its_beginning(
    road: Road, client: FlaskClient, data: bytes
) -> None:
    problem(post_chunked(client, data), 413)
    assert not road.intake.stored


def test_the_limits_are_settings() -> None:
    road = Road(handlers.Handler("a.b", print), max_body=1024, max_depth=2)
    client = road.client()
    assert post(client, b"[[1]]").status_code == 202
    assert "deeper than 2" in problem(post(client, b"[[[1]]]"), 400)["detail"]
    problem(post(client, of_size(1025)), 413)


# --- what is taken --------------------------------------------------------------------------------------------------

TAKEN: dict[str, tuple[bytes, str]] = {
    "object": (b' {"b" : 1, "a": [true, false, null]}\n', '{"b":1,"a":[true,false,null]}'),
    "null": (b"null", "null"),
    "number": (b"-1.5e3", "-1500.0"),
    "string": (b'"x"', '"x"'),
    "nothing in it": (b'{"":[],"a":{},"b":""}', '{"":[],"a":{},"b":""}'),
    "2^53 + 1": (b"[9007199254740993]", "[9007199254740993]"),
    "2^64": (b"[18446744073709551616]", "[18446744073709551616]"),
    "4300 digits": (b"[" + b"7" * 4300 + b"]", "[" + "7" * 4300 + "]"),
    "pair of surrogates": (b'"\\ud83d\\ude00"', '"\N{GRINNING FACE}"'),
    "right to left": ('"\u202eabc\u200b"'.encode(), '"\u202eabc\u200b"'),
    "noncharacter": ('"\uffff"'.encode(), '"\uffff"'),
    "colons": (b'{"a:b": "::", "c": ":"}', '{"a:b":"::","c":":"}'),
    "escaped colon": (b'{"\\u003a": "\\u003a"}', '{":":":"}'),
    "what looks like NUL": (b'"\\\\u0000"', '"\\\\u0000"'),
    "words of JavaScript": (b'{"__proto__": {"constructor": "$where"}}', '{"__proto__":{"constructor":"$where"}}'),
    "32 arrays": (DEEPEST, DEEPEST.decode()),
    "many brackets side by side": (b"[" + b",".join([b"{}"] * 100) + b"]", "[" + ",".join(["{}"] * 100) + "]"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "stored"), TAKEN.values(), ids=list(TAKEN))
def test_what_is_strict_json_is_stored_in_its_shortest_form(
    road: Road, client: FlaskClient, data: bytes, stored: str
) -> None:
    assert post(client, data).status_code == 202
    assert [new.payload for new in road.intake.stored] == [stored]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/JSON;charset=UTF8",
     "application/vnd.example.v1+json", "application/cloudevents+json"],
)  # fmt: skip
def test_json_goes_by_many_names(client: FlaskClient, content_type: str) -> None:
    assert post(client, b"{}", content_type, **{"Content-Encoding": "identity"}).status_code == 202


# --- whatever comes -------------------------------------------------------------------------------------------------

CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(CHARACTERS)
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS), inner), max_leaves=20
)  # fmt: skip


@given(DOCUMENTS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_good_document_comes_through_unchanged(document: Any, escaped: bool) -> None:
    found = body.parse(json.dumps(document, ensure_ascii=escaped).encode(), 200)
    assert json.loads(found.text) == found.value == document


#: Keys and strings that are hard to tell apart, or to count.
WORDS = st.sampled_from(['"a"', '"\\u0061"', '":"', '"\\u003a"', '"\\u003A"', '"::"', '"\\u0000"', '"\\\\u0000"'])
#: Documents as they may be written: keys repeated, colons escaped.
TEXTS = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(WORDS, inner), max_size=3).map(lambda ps: f"{{{','.join(f'{k}:{v}' for k, v in ps)}}}")
    ),
    max_leaves=8,
)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_no_repeated_key_and_no_nul_slips_through(text: str) -> None:
    assert is_taken(text.encode()) is is_sound(text)


@given(st.binary(max_size=30) | st.lists(st.sampled_from(b'{}[]":,\\u0d8e-+.1\x00\xef\xbb\xbf nulNaN')).map(bytes))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_json_for_every_reader_or_refused(data: bytes) -> None:
    if is_taken(data):
        json.loads(data.decode())


def is_taken(data: bytes) -> bool:
    try:
        body.parse(data, MAX_DEPTH)
    except body.NotStrictJson:
        return False
    return True


def is_sound(text: str) -> bool:
    """What the standard library says, which shows repeated keys."""
    repeated = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        repeated |= len(dict(pairs)) < len(pairs)
        return dict(pairs)

    found = json.loads(text, object_pairs_hook=look)
    return not repeated and not has_nul(found)


def has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return has_nul([*value.keys(), *value.values()])
    return any(has_nul(item) for item in value) if isinstance(value, list) else "\0" in value

"""The JSON that the door takes: what it refuses, with the place that is wrong, and what comes through unharmed."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.domain import handlers
from service.web import body
from tests.answers import problem
from tests.inputs.documents import ENCODINGS, MAX_DEPTH, OTHER_MEDIA, REFUSED, TAKEN
from tests.memory import Road

URL = "/v1/events/a.b"
MAX_BODY = 256 * 1024  #: bytes


def post(client: FlaskClient, data: bytes, content_type: str | None = "application/json", **headers: str) -> Any:
    return client.post(URL, data=data, content_type=content_type, headers=headers)


def post_chunked(client: FlaskClient, data: bytes) -> TestResponse:
    """As servers hand over a body whose length nobody has told."""
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    return client.post(URL, input_stream=io.BytesIO(data), content_type="application/json", environ_overrides=environ)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("_group", "data", "pointer", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_not_strict_json_is_refused_with_its_place(
    road: Road, client: FlaskClient, _group: int, data: bytes, pointer: str, words: str
) -> None:
    document = problem(post(client, data), 400)
    assert document["type"] == "/problems/not-strict-json"
    (fault,) = document["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]
    assert not road.intake.stored


@pytest.mark.parametrize("name", ["Latin-1", "no UTF-8 at all", "overlong slash", "surrogate in UTF-8"])
def test_the_byte_that_is_not_utf_8_is_named(client: FlaskClient, name: str) -> None:
    data = REFUSED[name][1]
    place = len(data.decode(errors="replace").partition("�")[0].encode())
    assert f"byte {place}" in problem(post(client, data), 400)["errors"][0]["detail"]


def test_all_that_is_wrong_is_told_at_once_but_not_without_end(client: FlaskClient) -> None:
    data = b'{"a": 1, "a": "\\u0000", "b": "\\u0000"}'
    assert [f["pointer"] for f in problem(post(client, data), 400)["errors"]] == ["/a", "/a", "/b"]
    many = b"[" + b",".join([b'"\\u0000"'] * 1000) + b"]"
    assert [f["pointer"] for f in problem(post(client, many), 400)["errors"]] == [f"/{n}" for n in range(10)]


@pytest.mark.parametrize("content_type", OTHER_MEDIA)
def test_another_media_type_is_refused(road: Road, client: FlaskClient, content_type: str | None) -> None:
    assert "JSON" in problem(post(client, b"{}", content_type), 415)["detail"].upper()
    assert not road.intake.stored


@pytest.mark.parametrize("encoding", ENCODINGS)
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


@pytest.mark.parametrize(("_group", "data", "stored"), TAKEN.values(), ids=list(TAKEN))
def test_what_is_strict_json_is_stored_in_its_shortest_form(
    road: Road, client: FlaskClient, _group: int, data: bytes, stored: str
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


#: Pieces of documents, good and bad ones: any of them may stand next to any other.
PIECES = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b" ", b"\n", b"\\", b"0", b"-", b"1", b".5", b"e9", b"E+400", b"9" * 400,
    b'"a"', b'"a":', b'"\\u0000"', b'"\\u003a"', b'"\\ud800"', b'"\\ud83d\\ude00"', b"null", b"true", b"NaN",
    b"Infinity", b"[" * 40, b"]" * 40, b"\x00", b"\xef\xbb\xbf", b"\xff", b"\xc3\xa4", b"\xed\xa0\x80", b"\x7f",
)  # fmt: skip


@given(st.binary(max_size=30) | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join) | TEXTS.map(str.encode))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_what_the_standard_library_reads_or_refused(data: bytes) -> None:
    try:
        found = body.parse(data, MAX_DEPTH)
    except body.NotStrictJson:  # Nothing else: another error would be a 500.
        assert not is_strict(data)
    else:
        assert is_strict(data)
        assert same(found.value, json.loads(data.decode()))


def is_taken(data: bytes) -> bool:
    try:
        body.parse(data, MAX_DEPTH)
    except body.NotStrictJson:
        return False
    return True


def is_strict(data: bytes) -> bool:
    """Whether the standard library reads it, strictly, and finds nothing that the page of the API forbids."""
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        json.dumps(found, ensure_ascii=False).encode()  # Half of a pair cannot be encoded.
    except (ValueError, RecursionError):
        return False
    return not body.deeper_than(found, MAX_DEPTH) and is_sound(data.decode())


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is neither 1.0 nor true."""
    return repr(one) == repr(other)


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
    if isinstance(value, list):
        return any(has_nul(item) for item in value)
    return isinstance(value, str) and "\0" in value

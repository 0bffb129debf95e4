"""JSON documents that the door refuses, and such as it takes, with their groups in the catalogue."""

from __future__ import annotations

MAX_DEPTH = 32
DEEPEST = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

#: What is refused with 400: name → (group, body, JSON pointer, words of the detail).
REFUSED: dict[str, tuple[int, bytes, str, str]] = {
    "empty": (28, b"", "", "empty"),
    "spaces": (28, b" \n", "", "truncated"),
    "cut short": (27, b'{"a": [1, 2', "", "truncated"),
    "trailing junk": (27, b'{"a": 1} x', "", "trailing"),
    "two documents": (27, b"{} {}", "", "trailing"),
    "trailing NUL": (36, b"{}\x00", "", "trailing"),
    "trailing comma": (27, b"[1, 2,]", "", "comma"),
    "comment": (27, b"[1] // one", "", "trailing"),
    "single quotes": (27, b"{'a': 1}", "", "byte 1"),
    "Python": (27, b'{"a": None}', "", "byte 6"),
    "raw line break": (27, b'{"a": "x\ny"}', "", "byte 8"),
    "NaN": (31, b'{"a": NaN}', "", "byte 6"),
    "Infinity": (31, b"[1, Infinity]", "", "byte 4"),
    "-Infinity": (31, b"[-Infinity]", "", "byte 2"),
    "1e999": (31, b'{"a": [1e999]}', "", "out of range"),
    "5000 digits": (32, b"[" + b"7" * 5000 + b"]", "", "out of range"),
    "leading zero": (27, b"[007]", "", "number"),
    "hexadecimal": (27, b"[0x1f]", "", "byte 2"),
    "repeated key": (35, b'{"a": 1, "b": 2, "a": 1}', "/a", "repeated"),
    "repeated key below": (35, b'{"a": [0, {"b": 1, "b": 2}]}', "/a/1/b", "repeated"),
    "repeated key, escaped": (35, b'{"a": 1, "\\u0061": 2}', "/a", "repeated"),
    "repeated key, escaped colons": (35, b'{"x": ":", "\\u003a": 1, "\\u003A": 2}', "/:", "repeated"),
    "repeated key, odd name": (35, b'{"a/~": 1, "a/~": 2}', "/a~1~0", "repeated"),
    "NUL in a string": (36, b'{"a": ["", "x\\u0000"]}', "/a/1", "NUL"),
    "NUL in a key": (36, b'{"a": {"\\u0000": 1}}', "/a/\0", "NUL"),
    "raw NUL": (36, b'{"a": "\x00"}', "", "byte 7"),
    "first half of a pair": (37, b'{"a": "\\ud800"}', "", "surrogate"),
    "second half of a pair": (37, b'{"a": "\\udc00"}', "", "surrogate"),
    "halves in the wrong order": (37, b'["\\udc00\\ud800"]', "", "surrogate"),
    "byte order mark": (29, b"\xef\xbb\xbf{}", "", "byte order mark"),
    "UTF-16": (30, '{"a": "ä"}'.encode("utf-16"), "", "byte 0"),
    "UTF-16 without a mark": (30, '{"a": "ä"}'.encode("utf-16-le"), "", "byte 1"),
    "Latin-1": (30, '{"a": "ä"}'.encode("latin-1"), "", "not UTF-8"),
    "no UTF-8 at all": (30, b'["\xff"]', "", "not UTF-8"),
    "overlong slash": (30, b'["\xc0\xaf"]', "", "not UTF-8"),
    "surrogate in UTF-8": (30, b'["\xed\xa0\x80"]', "", "not UTF-8"),
    "33 arrays": (33, b"[" + DEEPEST + b"]", "", "deeper than 32"),
    "33 objects": (33, b'{"a":' * 33 + b"1" + b"}" * 33, "", "deeper than 32"),
    "100,000 arrays": (33, b"[" * 100_000 + b"]" * 100_000, "", "deeper than 32"),
    "arrays without an end": (33, b"[" * 200_000, "", ""),
}  # fmt: skip

#: What is taken: name → (group, body, payload that is stored).
TAKEN: dict[str, tuple[int, bytes, str]] = {
    "object": (2, b' {"b" : 1, "a": [true, false, null]}\n', '{"b":1,"a":[true,false,null]}'),
    "null": (41, b"null", "null"),
    "number": (31, b"-1.5e3", "-1500.0"),
    "string": (41, b'"x"', '"x"'),
    "nothing in it": (2, b'{"":[],"a":{},"b":""}', '{"":[],"a":{},"b":""}'),
    "2^53 + 1": (32, b"[9007199254740993]", "[9007199254740993]"),
    "2^64": (32, b"[18446744073709551616]", "[18446744073709551616]"),
    "4300 digits": (32, b"[" + b"7" * 4300 + b"]", "[" + "7" * 4300 + "]"),
    "pair of surrogates": (37, b'"\\ud83d\\ude00"', '"\N{GRINNING FACE}"'),
    "right to left": (38, '"\u202eabc\u200b"'.encode(), '"\u202eabc\u200b"'),
    "noncharacter": (38, '"\uffff"'.encode(), '"\uffff"'),
    "colons": (35, b'{"a:b": "::", "c": ":"}', '{"a:b":"::","c":":"}'),
    "escaped colon": (35, b'{"\\u003a": "\\u003a"}', '{":":":"}'),
    "what looks like NUL": (36, b'"\\\\u0000"', '"\\\\u0000"'),
    "words of JavaScript": (40, b'{"__proto__": {"constructor": "$where"}}', '{"__proto__":{"constructor":"$where"}}'),
    "minus nothing": (31, b"[-0, -0.0, 0.30000000000000004]", "[0,-0.0,0.30000000000000004]"),
    "2^63": (32, b"[9223372036854775808, -9223372036854775809]", "[9223372036854775808,-9223372036854775809]"),
    "a wide array": (34, b"[" + b",".join([b"1"] * 100_000) + b"]", "[" + ",".join(["1"] * 100_000) + "]"),
    "composed and decomposed": (38, '{"\xe9": 1, "e\u0301": 2}'.encode(), '{"\xe9":1,"e\u0301":2}'),
    "a pile of accents": (38, ('"a' + "\u0301" * 5000 + '"').encode(), '"a' + "\u0301" * 5000 + '"'),
    "words of Python and others": (
        40, b'{"__class__": 1, "$ref": "http://169.254.169.254"}', '{"__class__":1,"$ref":"http://169.254.169.254"}'
    ),
    "true": (41, b"true", "true"),
    "an empty array": (41, b"[]", "[]"),
    "what a bad pattern chokes on": (46, b'"' + b"a" * 50_000 + b'!"', '"' + "a" * 50_000 + '!"'),
    "32 arrays": (33, DEEPEST, DEEPEST.decode()),
    "many brackets side by side": (33, b"[" + b",".join([b"{}"] * 100) + b"]", "[" + ",".join(["{}"] * 100) + "]"),
}  # fmt: skip

#: Media types that are no JSON in UTF-8: 415.
OTHER_MEDIA = (
    None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/jsonp", "application/json; charset=utf-7", "application/json; charset=latin-1", "application/cbor",
    "application/x-python-serialize", "application/+json",
)  # fmt: skip

#: Encodings of a body that is not opened: 415.
ENCODINGS = ("gzip", "gzip, gzip", "br", "deflate", "x")

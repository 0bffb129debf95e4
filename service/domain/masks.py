"""Masks: which fields of a payload are not shown.

A field is masked for its name. ``card`` masks ``card``, ``card_number`` and ``creditCard``, but not ``discard``: names
are compared word by word, whether they are written with underscores, dashes or capitals. A ``*`` stands for anything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

MASK = "***"  #: what is shown in the place of a value, whatever it was

#: The default of the setting.
NAMES = (
    "pass", "password", "passwd", "passphrase", "secret", "token", "*token", "credential*", "api_key", "apikey",
    "private_key", "authorization", "cookie", "card", "pan", "cvc", "cvv", "pin", "iban", "account_number", "ssn",
    "email", "e_mail", "phone", "birthday", "date_of_birth",
)  # fmt: skip

ENTRY = re.compile(r"[a-z0-9_*]{1,100}")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])")
_GAP = re.compile(r"[^A-Za-z0-9]+")


def check(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves; raises ValueError for one that no field could have."""
    for name in names:
        if not ENTRY.fullmatch(name):
            raise ValueError(f"{name[:100]}: a-z, 0-9, _ and * are wanted: names of fields in lower case")
    return names


@functools.lru_cache(maxsize=64)
def matcher(names: tuple[str, ...]) -> Callable[[str], bool]:
    """Tells whether a field of this name is masked."""
    if not names:
        return lambda _: False
    any_of = "|".join(re.escape(name).replace(r"\*", ".*") for name in names)
    pattern = re.compile(f"_(?:{any_of})s?_")
    return functools.lru_cache(maxsize=4096)(lambda field: pattern.search(f"_{words(field)}_") is not None)


def words(field: str) -> str:
    """A field's name in lower case, its words parted by underscores: ``creditCard`` is ``credit_card``."""
    return _GAP.sub("_", _CAPITAL.sub("_", field)).lower()


def masked(value: Any, is_masked: Callable[[str], bool]) -> tuple[Any, list[str]]:
    """(the value with masks, where they are as JSON pointers). The value itself is left as it is."""
    places: list[str] = []
    return _masked(value, is_masked, "", places), places


def _masked(value: Any, is_masked: Callable[[str], bool], place: str, places: list[str]) -> Any:
    if isinstance(value, dict):
        found = {}
        for name, child in value.items():
            pointer = f"{place}/{name.replace('~', '~0').replace('/', '~1')}"
            if child is not None and is_masked(name):
                places.append(pointer)
                found[name] = MASK
            else:
                found[name] = _masked(child, is_masked, pointer, places)
        return found
    if isinstance(value, list):
        return [_masked(child, is_masked, f"{place}/{number}", places) for number, child in enumerate(value)]
    return value


def left_in(value: Any, is_masked: Callable[[str], bool]) -> list[str]:
    """Where the mask itself stands in a field that is masked, as JSON pointers."""
    places = masked(value, is_masked)[1]
    return [place for place in places if _at(value, place) == MASK]


def _at(value: Any, place: str) -> Any:
    for part in place.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def marked(schema: Any) -> Iterable[str]:
    """The names of fields that a JSON schema marks as ``writeOnly``: a pydantic ``SecretStr``, say."""
    if isinstance(schema, dict):
        for name, child in (schema.get("properties") or {}).items():
            if isinstance(child, dict) and _is_write_only(child):
                yield name
        for child in schema.values():
            yield from marked(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from marked(child)


def _is_write_only(schema: dict[str, Any]) -> bool:
    parts = [schema, *(p for key in ("anyOf", "oneOf", "allOf") for p in schema.get(key, ()) if isinstance(p, dict))]
    return any(part.get("writeOnly") is True for part in parts)

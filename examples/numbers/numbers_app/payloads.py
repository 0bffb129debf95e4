"""What the events of this application carry, and what is refused.

The models are checked at the door, where a fault is answered with ``422``, and again in the worker.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import pydantic

#: The most numbers in one request.
MOST_NUMBERS = 1_000_000
#: Numbers are smaller than this, and larger than its negative. The column could hold far more.
NUMBER_LIMIT = 10**400
#: PostgreSQL's bigint.
BIGINT = range(-(2**63), 2**63)

_DIGITS = re.compile(r"-?[0-9]{1,100}")


def _number(value: Any) -> int | float:
    """``value`` itself, if JSON calls it a number. Python takes True for 1, and NaN for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is wanted")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number is wanted")
    if not -NUMBER_LIMIT < value < NUMBER_LIMIT:
        raise ValueError("a number of at most 400 digits is wanted")
    return value


def _number_or_none(value: Any) -> int | float | None:
    return None if value is None else _number(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in BIGINT:
        raise ValueError("an integer of 64 bits is wanted")
    return value


def rid(value: Any) -> int:
    """A request's number; its clients send an integer or a string of digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    try:
        return _integer(value)
    except ValueError:
        raise ValueError("an integer of 64 bits is wanted, or a string of its digits") from None


def _not_too_long(value: Any) -> Any:
    # Asked before the items are looked at, so that a huge list is refused at once.
    if isinstance(value, list) and len(value) > MOST_NUMBERS:
        raise ValueError(f"at most {MOST_NUMBERS:,} items are taken at once, not {len(value):,}")
    return value


def _as_long_as(field: str, value: list[Any], info: pydantic.ValidationInfo) -> list[Any]:
    # The other list is missing when it has a fault of its own; then that fault is enough to say.
    other = info.data.get(field)
    if other is not None and len(other) != len(value):
        raise ValueError(f"as many items as in {field} are wanted: {len(other):,}, not {len(value):,}")
    return value


_INTEGER = pydantic.WithJsonSchema({"type": "integer", "minimum": BIGINT.start, "maximum": BIGINT.stop - 1})
#: One fault per list is told, or a million faults would be answered with a million sentences.
_FIRST_FAULT = pydantic.FailFast()
_SHORT = pydantic.BeforeValidator(_not_too_long)

Rid = Annotated[int, pydantic.PlainValidator(rid), _INTEGER]
NumberId = Annotated[int, pydantic.PlainValidator(_integer), _INTEGER]
Number = Annotated[int | float, pydantic.PlainValidator(_number), pydantic.WithJsonSchema({"type": "number"})]
Result = Annotated[
    int | float | None,
    pydantic.PlainValidator(_number_or_none),
    pydantic.WithJsonSchema({"type": ["number", "null"]}),
]
Word = Literal["sum", "sum_Doing", "sum_Done", "mul", "mul_Doing", "mul_Done"]


class NumberRequest(pydantic.BaseModel):
    """``numbers.requested``: numbers to keep under a new ``rid``, and a job for each."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"examples": [{"rid": 7, "numbers": [51, 52, 53], "jobtodo": ["sum", "mul", "sum"]}]}
    )

    rid: Rid
    numbers: Annotated[list[Number], _FIRST_FAULT, _SHORT]
    jobtodo: Annotated[list[Literal["sum", "mul"]], _FIRST_FAULT, _SHORT]

    @pydantic.field_validator("jobtodo")
    @classmethod
    def _one_each(cls, value: list[Any], info: pydantic.ValidationInfo) -> list[Any]:
        return _as_long_as("numbers", value, info)


class NumberUpdate(pydantic.BaseModel):
    """``numbers.updated``: job words and results of numbers that someone outside has worked on."""

    numbers_id: Annotated[list[NumberId], _FIRST_FAULT, _SHORT]
    numbers: Annotated[list[Number], _FIRST_FAULT, _SHORT]
    jobtodo_new: Annotated[list[Word], _FIRST_FAULT, _SHORT]
    result: Annotated[list[Result], _FIRST_FAULT, _SHORT]

    @pydantic.field_validator("numbers_id")
    @classmethod
    def _each_once(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("each id is wanted once; there is one that stands twice")
        return value

    @pydantic.field_validator("numbers", "jobtodo_new", "result")
    @classmethod
    def _one_each(cls, value: list[Any], info: pydantic.ValidationInfo) -> list[Any]:
        return _as_long_as("numbers_id", value, info)

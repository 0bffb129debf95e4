"""What is hidden of a payload, and that it is said where."""

from __future__ import annotations

from typing import Annotated

import pydantic
import pytest

from service.domain import masks


@pytest.mark.parametrize(
    ("field", "hidden"),
    [
        ("password", True), ("userPassword", True), ("PASSWORD", True), ("password2", True), ("access_token", True),
        ("accesstoken", True), ("creditCard", True), ("card-number", True), ("IBAN", True), ("emails", True),
        ("discard", False), ("cardinality", False), ("spin", False), ("tokenizer", False), ("order", False),
    ],
)  # fmt: skip
def test_a_field_is_masked_word_by_word(field: str, hidden: bool) -> None:
    assert masks.matcher(masks.NAMES)(field) is hidden


def test_masks_take_the_place_of_whatever_is_there_and_say_where() -> None:
    value = {"a/b": [{"token": {"x": 1}}, {"token": None}], "pin": 0, "rest": 1}
    found, places = masks.masked(value, masks.matcher(masks.NAMES))
    assert found == {"a/b": [{"token": "***"}, {"token": None}], "pin": "***", "rest": 1}
    assert places == ["/a~1b/0/token", "/pin"]
    assert value["pin"] == 0, "what was given is left as it is"


def test_a_mask_that_was_sent_back_is_found_and_a_star_elsewhere_is_not() -> None:
    value = {"a/b": [{"token": {"x": 1}}, {"token": "***"}], "pin": "****", "rest": "***", "card": "***"}
    assert masks.left_in(value, masks.matcher(masks.NAMES)) == ["/a~1b/1/token", "/card"]


def test_a_model_marks_fields_by_write_only() -> None:
    class Inner(pydantic.BaseModel):
        code: pydantic.SecretStr | None = None

    class Outer(pydantic.BaseModel):
        inner: list[Inner]
        diagnosis: Annotated[str, pydantic.Field(json_schema_extra={"writeOnly": True})]
        open: str

    assert set(masks.marked(Outer.model_json_schema())) == {"code", "diagnosis"}

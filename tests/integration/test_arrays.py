"""Arrays that we write ourselves: PostgreSQL reads in them what was meant."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from service.domain import ids
from service.ledger import arrays

pytestmark = pytest.mark.postgres

ODD = ["", " ", "NULL", "null", '"', '\\"', "\\", "\\\\", "{}", "{a,b}", ",", "a b\n\t\r", "'", "%s %%", "\N{SNOWMAN}é"]


@pytest.fixture(scope="module")
def cursor(shared_database: str) -> Any:
    connection = psycopg2.connect(shared_database)
    with connection.cursor() as found:
        yield found
    connection.close()


@pytest.mark.parametrize("texts", [ODD, [None, *ODD, None], [None], []], ids=["odd", "with none", "none", "empty"])
def test_texts_come_back_as_they_were(cursor: Any, texts: list[str | None]) -> None:
    cursor.execute("select %s::text[]", (arrays.texts(texts),))
    assert cursor.fetchone() == (texts,)


def test_ids_come_back_as_they_were(cursor: Any) -> None:
    asked = [ids.uuid7(1.0), ids.uuid7(2.0)]
    cursor.execute("select %s::uuid[]::text[]", (arrays.uuids(asked),))
    assert cursor.fetchone() == (asked,)

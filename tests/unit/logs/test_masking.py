"""No secret gets into a line."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.telemetry import masking
from tests.unit.logs.reading import SECRETS, log


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("amqp://user:pass@host:5672/v", "amqp://user:***@host:5672/v"),
        (
            "postgresql+psycopg2://u:p@ss@host/db and more",
            "postgresql+psycopg2://u:***@host/db and more",
        ),
        ("amqp://:pass@host", "amqp://:***@host"),
        ("a://u:1@h, b://v:2@i", "a://u:***@h, b://v:***@i"),
        ("host=db password=geheim user=me", "host=db password=*** user=me"),
        ("host=db password='two words' user=me", "host=db password=*** user=me"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("http://127.0.0.1:9101/metrics", "http://127.0.0.1:9101/metrics"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("me@example.org at 12:30", "me@example.org at 12:30"),
    ],
)
def test_passwords_are_masked(text: str, safe: str) -> None:
    assert masking.Mask().text(text) == safe


def test_the_passwords_of_the_settings_are_masked_wherever_they_turn_up(written: Any) -> None:
    written(log_format="json", **SECRETS)
    log.info("quoted p%40ss%2Fword", extra={"meant": "it is p@ss/word", "authorization": "Bearer x"})
    log.info("It is %s", SECRETS["database_url"])
    text = "\n".join(written())
    assert not re.search(r"p%40ss|p@ss|Bearer|s3cret", text)
    assert "postgresql://road:***@db:5432/millrace" in text


def test_short_passwords_of_the_settings_are_words() -> None:
    mask = masking.Mask(["amqp://guest:guest@host/", "no url", "http://[broken"])
    assert mask.text("a guest came") == "a guest came"
    assert mask.value("n", 3) == 3
    assert mask.value("cookie", 3) == masking.MASK

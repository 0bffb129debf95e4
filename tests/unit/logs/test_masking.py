"""No secret gets into a line."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from service import settings
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
        # Names that end so.
        ("client_secret=abc", "client_secret=***"),
        ("GET /x?access_token=abc&n=1 failed", "GET /x?access_token=***&n=1 failed"),
        ("{'refresh_token': 'a b', 'expires_in': 60}", "{'refresh_token': ***, 'expires_in': 60}"),
        (r'"{\"id_token\": \"abc\", \"n\": 1}"', r'"{\"id_token\": ***, \"n\": 1}"'),
        ("db_password=a PGPASSWORD=b sslpassword='c d'", "db_password=*** PGPASSWORD=*** sslpassword=***"),
        ("MILLRACE_ACCESS_SECRET=abc", "MILLRACE_ACCESS_SECRET=***"),
        ("SMTP_PASS=abc x-api-key: abc", "SMTP_PASS=*** x-api-key: ***"),
        ("aws_secret_access_key = abc", "aws_secret_access_key = ***"),
        # Headers, as text and as Python shows them.
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("Authorization: Basic dTpw, Accept: */*", "Authorization: ***, Accept: */*"),
        ("{'Authorization': 'Bearer a b', 'Accept': '*/*'}", "{'Authorization': ***, 'Accept': '*/*'}"),
        ("[(b'authorization', b'Digest a=\"b\"'), (b'x', b'1')]", "[(b'authorization', ***), (b'x', b'1')]"),
        ("Proxy-Authorization=abc", "Proxy-Authorization=***"),
        ("Cookie: session=abc; theme=dark\nHost: a", "Cookie: ***\nHost: a"),
        ("Set-Cookie: s=abc; Path=/; HttpOnly", "Set-Cookie: ***"),
        ("headers={'cookie': 's=abc; t=d'}", "headers={'cookie': ***}"),
        ("it showed Bearer abcdef123456 there", "it showed Bearer *** there"),
        ("curl -H 'X: Basic dXNlcjpwYXNz'", "curl -H 'X: Basic ***'"),
        ("an eyJhbGciOiJI.eyJzdWIiOiIx.c2ln of theirs", "an *** of theirs"),
        # In an address.
        ("for url 'https://a/b?key=abc&n=1'", "for url 'https://a/b?key=***&n=1'"),
        ("https://a/b?n=1&X-Amz-Signature=abc", "https://a/b?n=1&X-Amz-Signature=***"),
        ("GET /callback?code=abc&state=1", "GET /callback?code=***&state=1"),
    ],
)
def test_passwords_are_masked(text: str, safe: str) -> None:
    assert masking.Mask().text(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "The token has expired, and the password was wrong",
        "12 tokens: 5 of them were taken; max_tokens=100 token_count=3",
        "tickets: 3, tokenizer: fast, secretary=Ada, broken: no",
        "bypass=true, 1 pass: 3 failed, compass='n', passed=12, monkey=1",
        "idempotency_key=order-5 partition key: 7 routing_key=event.default",
        "Basic authentication and Bearer Authentication are refused; authorization is needed",
        "the cookie is of another host, cookie: none was sent",
        "MILLRACE_ACCESS_SECRET: 32 characters or more are wanted: openssl rand -hex 32",
        "MILLRACE_ACCESS=on needs MILLRACE_ACCESS_SECRET (or _FILE): openssl rand -hex 32",
        "millrace: MILLRACE_API_KEY_FILE: /run/secrets/key cannot be read: it is not a file",
        "GET /v1/events?type=a.b&limit=5 200, code=500, key=5",
        "Is the server there? code=ECONNREFUSED",
    ],
)
def test_words_stay(text: str) -> None:
    assert masking.Mask().text(text) == text


def test_every_secret_of_the_settings_is_masked_wherever_it_turns_up() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    given = {
        "database_url": "postgresql://road:s3cret-of-pg@db/millrace",
        "broker_url": "amqp://road:s3cret-of-mq@rabbit/v",
        "access_secret": f"{'new-pepper' * 4},{'old-pepper' * 4}",
        "oidc_client_secret": "s3cret-of-oidc",
        "canary_key": "s3cret-of-canary",
        "api_key": "s3cret-of-api",
        "webhook_secrets": f"shop=whsec_{key}",
        "otlp_url": "https://us:s3cret-of-otlp@traces:4318",
    }
    assert given.keys() >= set(settings.SECRETS), "a secret that nobody masks"
    mask = masking.of(settings.Settings(**given))
    for secret in ("new-pepper" * 4, "old-pepper" * 4, key, *re.findall(r"s3cret-of-\w+", str(given))):
        assert mask.text(f"It said {secret} there") == "It said *** there", secret


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

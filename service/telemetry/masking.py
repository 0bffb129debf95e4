"""Masking: secrets do not get into logs and spans.

What is known to be a secret of ours is taken out wherever it turns up. What is not known is told by what stands before
it: ``client_secret=…``, ``"refresh_token": "…"``, ``Authorization: …``. There one word too many is hidden rather than
one too few; a sentence that only speaks of tokens and passwords stays as it is. Every line of a log comes through here,
so a cheap look for the word comes before each expression that a line without it need not pay for.
"""

from __future__ import annotations

import base64
import functools
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from service import settings as environment
from service.domain import webhooks
from service.settings import Settings

MASK = "***"

#: How a name ends whose value is a secret: ``PGPASSWORD``, ``client_secret`` and ``x-api-key`` do so, too.
SECRET = r"passw(?:or)?d|passphrase|secret|token|credentials?|(?:api|access|private|secret|signing|encryption)[_-]?key"
#: What stands between a name and its value, in the words of a person, in JSON, in Python.
SIGN = r"[\\\"']*\s*[=:]\s*"
QUOTED = r"b?\\*(?:\"[^\"]*\"|'[^']*')"
WORD = r"[^\s,;&\"'}]+"

#: The password in a URL. It may hold an @ that should have been quoted, so the last one counts.
IN_URL = re.compile(r"://([^\s:/@\"'<>]*):[^\s/\"'<>]*@")
#: What is said of one of our own settings ("MILLRACE_API_KEY: …") is a sentence, and comes first to be let through.
IN_PAIR = re.compile(
    rf"\bMILLRACE_[A-Z_]+:\s|((?:{SECRET}|(?<![a-z])pass(?=[\\\"'=])){SIGN})(?:{QUOTED}|{WORD})", re.IGNORECASE
)
#: Headers, also as the pairs that httpx and ASGI keep them in: ``(b"cookie", b"…")``.
PAIRED = rf"(?:{SIGN}|[\"']\s*,\s*(?=b?[\"']))"
AUTHORIZATION = re.compile(
    rf"(authorization{PAIRED})(?:{QUOTED}|(?:(?:basic|bearer|digest|negotiate|token|apikey)\s+)?{WORD})", re.IGNORECASE
)
COOKIE = re.compile(
    rf"(cookie{PAIRED})(?:{QUOTED}|[^\s;,=\"']+=[^\s;,\"']*(?:;\s*[\w.-]+(?:=[^\s;,\"']*)?)*)", re.IGNORECASE
)
#: Without its header. "Basic authentication" are words; base64 has a digit, or a capital in its middle.
BEARER = re.compile(r"\b([Bb](?:earer|asic)\s+)(?=[\w.~+/-]*(?:[0-9=]|[a-z][A-Z]))[\w.~+/=-]{8,}")
#: In the query of a URL, names that are ordinary words elsewhere.
IN_QUERY = re.compile(r"([?&](?:key|code|[\w-]*sig(?:nature)?)=)[^\s&#\"'<>]+", re.IGNORECASE)
#: A token of RFC 7519.
JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
#: A secret of Standard Webhooks.
WEBHOOK = re.compile(r"whsec_[A-Za-z0-9+/=]+")
#: An API key of ours (``service.domain.credentials``).
KEY = re.compile(r"mr_[0-9a-f]{12}_[0-9A-Za-z]{46}")

#: In lower case, without one of these there is nothing to be found by the expressions for names.
STEMS = ("pass", "secret", "token", "key", "credential")
NAMES = re.compile(rf"{SECRET}|passw|authorization|cookie", re.IGNORECASE)
#: Shorter passwords are not looked for by themselves: "guest" is a word.
SHORTEST = 8


class Mask:
    """Takes secrets out of text. It knows the passwords in some URLs, and other words, wherever they turn up."""

    def __init__(self, urls: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        found = {word for url in urls for word in _passwords(url)} | set(words)
        self._known = sorted((word for word in found if len(word) >= SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for word in self._known:
            text = text.replace(word, MASK)
        if "@" in text:
            text = IN_URL.sub(rf"://\1:{MASK}@", text)
        if "eyJ" in text:
            text = JWT.sub(MASK, text)
        if "whsec_" in text:
            text = WEBHOOK.sub(MASK, text)
        if "mr_" in text:
            text = KEY.sub(MASK, text)
        if "earer " in text or "asic " in text:
            text = BEARER.sub(rf"\1{MASK}", text)
        return _named(text) if "=" in text or ":" in text or "', " in text else text

    def value(self, name: str, value: object) -> object:
        """A named value without secrets: numbers stay, all else becomes text."""
        if _is_secret(name):
            return MASK
        if value is None or isinstance(value, bool | int):
            return value
        return round(value, 6) if isinstance(value, float) else self.text(_shown(value))


def of(settings: Settings) -> Mask:
    """What knows the secrets of the settings: those that are one as a whole, and the passwords in addresses."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    addresses = {name for name, value in values.items() if isinstance(value, str) and "://" in value}
    words = (word for name in environment.SECRETS if name not in addresses for word in _words(values[name]))
    return Mask([values[name] for name in addresses], words)


def _named(text: str) -> str:
    """The text without what a word before it says to be a secret."""
    low = text.lower()
    if "authorization" in low:
        text = AUTHORIZATION.sub(rf"\1{MASK}", text)
    if "cookie" in low:
        text = COOKIE.sub(rf"\1{MASK}", text)
    for stem in STEMS:
        if stem in low:
            text = IN_PAIR.sub(_hidden, text)
            break
    return IN_QUERY.sub(rf"\1{MASK}", text) if "?" in text else text


def _words(secret: object) -> Iterator[str]:
    if isinstance(secret, str):
        yield secret
    elif isinstance(secret, webhooks.Secret):
        yield base64.b64encode(secret.key).decode()
    elif isinstance(secret, tuple):
        for one in secret:
            yield from _words(one)


def _hidden(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else f"{found[1]}{MASK}"


@functools.lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return NAMES.search(name) is not None


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"({type(value).__name__}, which cannot be shown)"


def _passwords(url: str) -> set[str]:
    """The password in a URL, as it stands there and as it is meant."""
    try:
        written = urllib.parse.urlsplit(url).password or ""
    except ValueError:
        return set()
    return {written, urllib.parse.unquote(written)}

"""Masking: secrets do not get into logs."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

MASK = "***"

#: The password in a URL. It may hold an @ that should have been quoted, so the last one counts.
IN_URL = re.compile(r"(?<=://)([^\s:/@\"'<>]*):[^\s/\"'<>]*@")
#: What a driver or a person writes as ``password=…``, quoted or not.
IN_PAIR = re.compile(
    r"\b((?:password|passwd|secret|token|api_?key)[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"'}]+)",
    re.IGNORECASE,
)
#: A secret of Standard Webhooks.
WEBHOOK = re.compile(r"whsec_[A-Za-z0-9+/=]+")
#: An API key of ours (``service.domain.credentials``).
KEY = re.compile(r"mr_[0-9a-f]{12}_[0-9A-Za-z]{46}")
NAMES = re.compile(r"passw|secret|token|api_?key|authorization|cookie", re.IGNORECASE)
#: Shorter passwords are not looked for by themselves: "guest" is a word.
SHORTEST = 8


class Mask:
    """Takes secrets out of text. It knows the passwords in some URLs, wherever they turn up."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        found = {word for url in urls for word in _passwords(url) if len(word) >= SHORTEST}
        self._known = sorted(found, key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for word in self._known:
            text = text.replace(word, MASK)
        if "://" in text:
            text = IN_URL.sub(rf"\1:{MASK}@", text)
        if "whsec_" in text:
            text = WEBHOOK.sub(MASK, text)
        if "mr_" in text:
            text = KEY.sub(MASK, text)
        if "=" in text or ":" in text:
            text = IN_PAIR.sub(rf"\1{MASK}", text)
        return text

    def value(self, name: str, value: object) -> object:
        """A named value without secrets: numbers stay, all else becomes text."""
        if NAMES.search(name):
            return MASK
        if value is None or isinstance(value, bool | int):
            return value
        return round(value, 6) if isinstance(value, float) else self.text(_shown(value))


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

"""Arrays of hundreds of values as one text, as PostgreSQL writes them (manual, section 8.15.2) or takes them apart.

psycopg2 looks at each element of a list, and PostgreSQL parses each as a literal of its own. A text that holds all of
them is one value for both.
"""

from __future__ import annotations

from collections.abc import Iterable

#: The expression that makes an array of ``documents``.
DOCUMENTS = "string_to_array(%s, E'\\x1e', '')"


def uuids(found: Iterable[str]) -> str:
    """An array of ids."""
    return f"{{{','.join(found)}}}"


def texts(found: Iterable[str | None]) -> str:
    """An array of texts."""
    return uuids(["NULL" if text is None else _quoted(text) for text in found])


def documents(found: Iterable[str | None]) -> str:
    """Texts of JSON for ``DOCUMENTS``, unescaped: none is empty, nor holds a raw record separator (RFC 7464, 2.1)."""
    return "\x1e".join([text or "" for text in found])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

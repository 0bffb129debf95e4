"""Names and ids in a path.

A NUL in a name is replaced, as bytes that are no UTF-8 are: neither the ledger nor a file system could be asked about
it, and nothing that there is has such a name. An id in capitals is the same one.
"""

from __future__ import annotations

from typing import Any

import flask
from werkzeug import routing

from service.ledger import queries

INSTEAD = "\N{REPLACEMENT CHARACTER}"


class Name(routing.UnicodeConverter):
    """A part of a path."""

    def to_python(self, value: str) -> str:
        """As a view gets it."""
        return value.replace("\0", INSTEAD)


class Rest(routing.PathConverter):
    """The rest of a path."""

    def to_python(self, value: str) -> str:
        """As a view gets it."""
        return value.replace("\0", INSTEAD)


#: Variables of routes that hold a UUID.
IDS = ("event_id", "stray_id")


def install(app: flask.Flask) -> None:
    """Have views of ``app`` get no NUL, and ids as the ledger writes them. Before any route is added."""
    app.url_map.converters |= {"default": Name, "string": Name, "path": Rest}
    app.url_value_preprocessor(_lower_ids)


def _lower_ids(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    for name in IDS:
        if values is not None and name in values:
            values[name] = as_written(values[name])


def as_written(text: str) -> str:
    """An id as the ledger writes it, in lower case (RFC 9562, section 4: read in either); any other text as it is."""
    return text.lower() if queries.UUID.fullmatch(text) else text

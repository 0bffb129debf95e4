"""Names in a path. A NUL in one is replaced, as bytes that are no UTF-8 are: neither the ledger nor a file system could
be asked about it, and nothing that there is has such a name.
"""

from __future__ import annotations

import flask
from werkzeug import routing

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


def install(app: flask.Flask) -> None:
    """Have views of ``app`` get no NUL. Before any route is added."""
    app.url_map.converters |= {"default": Name, "string": Name, "path": Rest}

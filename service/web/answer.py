"""A document as the answer to a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask
import msgspec
from werkzeug import datastructures

encoder = msgspec.json.Encoder()


class Json(flask.Response):
    """A JSON document, written by msgspec."""

    default_mimetype = "application/json"

    def __init__(self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(encoder.encode(document), status, headers)

    def get_wsgi_headers(self, environ: Any) -> datastructures.Headers:
        """The headers as they are: they are complete, and to look through them again costs an eighth of a post."""
        return self.headers


def nothing(headers: Mapping[str, str] | None = None) -> flask.Response:
    """204: there is nothing to say, in no form."""
    response = flask.Response(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response

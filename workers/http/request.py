"""What a request is asked for with: the payload of ``http.request``."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Annotated, Any, Literal

import pydantic

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  #: a header's name (RFC 9110, 5.6.2)
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  #: a header's value (RFC 9110, 5.5)
URL = re.compile(r"[\x21-\x7e]{1,2048}")
#: Headers that the client writes itself, or that tell the receiver what only we may tell it.
OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
     "webhook-id", "webhook-timestamp", "webhook-signature", "idempotency-key"}
)  # fmt: skip
LONGEST_TIMEOUT = 600.0  #: seconds


class Statuses:
    """A set of statuses, written like ``[204, "5xx"]``."""

    def __init__(self, written: list[int | str]) -> None:
        self._written = frozenset(str(one).lower() for one in written)

    def has(self, status: int) -> bool:
        """Whether it is one of them."""
        return bool({str(status), f"{status // 100}xx"} & self._written)


def _statuses(written: Any) -> Statuses:
    if isinstance(written, Statuses):
        return written
    if not isinstance(written, list) or not all(
        not isinstance(one, bool) and re.fullmatch(r"[1-5](\d\d|[xX]{2})", str(one)) for one in written
    ):
        raise ValueError('a list of statuses is wanted, like [204, "5xx"]')
    return Statuses(written)


StatusList = Annotated[Statuses, pydantic.PlainValidator(_statuses, json_schema_input_type=list[int | str])]


class Request(pydantic.BaseModel):
    """A request over HTTP, and what its answers mean."""

    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: str
    #: GET, or POST when there is a body, where it is left out.
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] | None = None
    headers: dict[str, str] = pydantic.Field(default={}, max_length=50)
    document: Any = pydantic.Field(default=None, alias="json")  #: a body as JSON
    body: str | None = None  #: a body as text, instead
    timeout: float = pydantic.Field(default=30.0, gt=0, le=LONGEST_TIMEOUT)  #: seconds, from begin to end
    secret: str | None = None  #: the name of the secret it is signed with
    success: StatusList = pydantic.Field(default=["2xx"], validate_default=True)
    retry: StatusList = pydantic.Field(default=[408, 425, 429, "5xx"], validate_default=True)

    @pydantic.field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not URL.fullmatch(value):
            raise ValueError("a URL in plain ASCII is wanted, what is not as %20, at most 2048 characters")
        try:
            parts = urllib.parse.urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("a URL is wanted, like https://example.com/hook")
        if "@" in parts.netloc:
            raise ValueError("no user or password may stand in a URL: payloads are kept and shown")
        return value

    @pydantic.field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in OURS:
                raise ValueError(f"{name} is written by Millrace itself")
            if not VALUE.fullmatch(text):
                raise ValueError(f"{name}: a value in one line of Latin-1 is wanted")
        return value

    @pydantic.model_validator(mode="after")
    def _has_one_body(self) -> Request:
        if self.body is not None and "document" in self.model_fields_set:
            raise ValueError("give either json or body")
        return self

    @property
    def host(self) -> str:
        """The host of the URL, in lower case."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def verb(self) -> str:
        """The method that is sent."""
        return self.method or ("GET" if self.content is None else "POST")

    @property
    def content(self) -> bytes | None:
        """The body that is sent, and signed."""
        if self.body is not None:
            return self.body.encode()
        if "document" not in self.model_fields_set:
            return None
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

"""A tiny issuer of tokens on loopback: metadata, keys, the code flow with PKCE. What it signs, a test may bend."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import secrets
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from typing import Any

from joserfc import jwk, jwt

AUDIENCE = "millrace-api"
CLIENT = "millrace-console"


@functools.cache
def key_of(name: str) -> Any:
    """A key of an issuer's, or of somebody else's; to make one takes a while."""
    return jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


class Issuer:
    """Its address and its keys; ``user`` is who signs in at it."""

    def __init__(self) -> None:
        self.key = key_of("one")
        self.others: list[Any] = []
        self.user: dict[str, Any] = {"sub": "ada", "roles": ["operator"]}
        self.asked: Counter[str] = Counter()
        self.flows: dict[str, dict[str, str]] = {}
        self.bend: dict[str, Any] = {}  #: claims of ID tokens that are to be wrong
        self.away = False
        self.silent = False  #: it takes questions and does not answer them
        self._ended = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/realm"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good access token, with some in the place of others; None takes one away."""
        now = int(time.time())
        found = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": now + 300, "iat": now, "roles": ["viewer"]}
        return {name: value for name, value in (found | more).items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """A token that is signed with its key."""
        header = {"alg": "RS256", "kid": "one"} | (header or {})
        return jwt.encode(header, self.claims(**claims), key or self.key, algorithms=[header["alg"]])

    def sign_in(self, place: str) -> str:
        """What a person does at the address to which a browser was sent: the address to which it is sent back."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(place).query))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = secrets.token_urlsafe(8)
        self.flows[code] = asked
        return f"{asked['redirect_uri']}?{urllib.parse.urlencode({'code': code, 'state': asked['state']})}"

    def close(self) -> None:
        """End the server."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, form: dict[str, str]) -> Any:
        """The document at a path; None: there is none."""
        self.asked[path] += 1
        while self.silent and not self._ended.wait(0.02):
            pass
        if self.away:
            return None
        if path == "/realm/.well-known/openid-configuration":
            places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            return {"issuer": self.url} | {name: f"{self.url}/{end}" for name, end in places.items()}
        if path == "/realm/keys":
            return {"keys": [key.as_dict(private=False) for key in (self.key, *self.others)]}
        if path == "/realm/token" and (flow := self.flows.pop(form.get("code", ""), None)):
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == flow["code_challenge"]
            assert form["redirect_uri"] == flow["redirect_uri"]
            claims = {"aud": CLIENT, "nonce": flow["nonce"]} | self.user | self.bend
            return {"access_token": "opaque", "token_type": "Bearer", "id_token": self.token(**claims)}
        return None

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
                document = issuer.answer(self.path, form)
                content = json.dumps(document).encode()
                self.send_response(200 if document is not None else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # Nobody waits for the end of a silence.
                    self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None: ...

        return Handler


@contextlib.contextmanager
def issuer() -> Iterator[Issuer]:
    """One that is ended afterwards."""
    found = Issuer()
    try:
        yield found
    finally:
        found.close()

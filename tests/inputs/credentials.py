"""Keys and tokens that are not good, with their groups in the catalogue, and a few that are."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from service.domain import credentials
from service.domain.access import Role
from tests import issuer as issuers
from tests.entrance import Entrance
from tests.issuer import Issuer

Headers = list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Keys:
    """The API keys that a door has, or had."""

    good: str
    expired: str
    revoked: str

    @property
    def id(self) -> str:
        """The part of the good one that is no secret."""
        return self.good.split("_")[1]

    @property
    def secret(self) -> str:
        """The other one."""
        return self.good.split("_")[2]


def keys_of(entrance: Entrance) -> Keys:
    """Makes them."""
    expired, revoked = (entrance.key(name, Role.ADMIN, lasts=60) for name in ("expired", "revoked"))
    entrance.ledger_sql("update millrace.keys set expires_at = now() - interval '1 s' where name = 'expired'")
    entrance.operations.keys.revoke(entrance.id("revoked"), by="test")
    return Keys(entrance.keys[Role.ADMIN], expired, revoked)


def bearer(text: str) -> Headers:
    """The header that shows it."""
    return [("Authorization", f"Bearer {text}")]


def plain(text: str) -> Headers:
    """A header of another form."""
    return [("Authorization", text)]


def _now() -> int:
    return int(time.time())


def _stranger() -> Any:
    return issuers.key_of("stranger")


def _parts(issuer: Issuer) -> list[str]:
    return issuer.token().split(".")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _with_header(issuer: Issuer, header: dict[str, Any], signature: str) -> str:
    """A good token's claims under another header."""
    return f"{_base64(json.dumps(header).encode())}.{_parts(issuer)[1]}.{signature}"


def _signed(issuer: Issuer, header: dict[str, Any]) -> str:
    """The same, and signed as the issuer would."""
    said = _with_header(issuer, header, "").rstrip(".")
    signature = issuer.key.private_key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{said}.{_base64(signature)}"


def _hs256(issuer: Issuer) -> str:
    """A token that is signed with a secret that everybody knows, the issuer's public key."""
    said = _with_header(issuer, {"alg": "HS256", "kid": "one"}, "").rstrip(".")
    public = issuer.key.as_pem(private=False)
    return f"{said}.{_base64(hmac.digest(public, said.encode(), 'sha256'))}"


def _changed(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body[:-2]}{'AA' if body[-2:] != 'AA' else 'BB'}.{signature}"


#: Refused with 401, by every route: name → (group, headers).
KEYS: dict[str, tuple[int, Callable[[Keys], Headers]]] = {
    "none": (16, lambda keys: []),
    "Bearer alone": (16, lambda keys: plain("Bearer")),
    "an empty one": (16, lambda keys: plain("Bearer ")),
    "two spaces": (16, lambda keys: plain(f"Bearer  {keys.good}")),
    "Basic": (16, lambda keys: plain("Basic YWRtaW46YWRtaW4=")),
    "the key alone": (16, lambda keys: plain(keys.good)),
    "two of them": (16, lambda keys: plain(f"Bearer {keys.good},Bearer {keys.good}")),
    "garbage": (16, lambda keys: bearer("garbage")),
    "cut off": (17, lambda keys: bearer(keys.good[:-1])),
    "more": (17, lambda keys: bearer(f"{keys.good}x")),
    "a line break in its end": (17, lambda keys: bearer(f"{keys.good}%0a")),
    "other case": (17, lambda keys: bearer(keys.good.upper())),
    "a secret that is not its own": (
        17, lambda keys: bearer(f"mr_{keys.id}_{credentials.make().text.split('_')[2]}"),
    ),
    "an id that is not its own": (17, lambda keys: bearer(f"mr_{'0' * 12}_{keys.secret}")),
    "well formed, and made up": (
        17, lambda keys: bearer(f"mr_{'0' * 12}_{'0' * 40}{credentials.checksum('0' * 40)}"),
    ),
    "a homoglyph": (17, lambda keys: bearer(f"{keys.good[:-1]}\xe9")),
    "expired": (17, lambda keys: bearer(keys.expired)),
    "revoked": (17, lambda keys: bearer(keys.revoked)),
}  # fmt: skip

#: Refused with 401, for they are good but for one thing: name → (group, token, words of the detail). Source: RFC 8725.
TOKENS: dict[str, tuple[int, Callable[[Issuer], str], str]] = {
    "alg none": (18, lambda i: _with_header(i, {"alg": "none"}, ""), "algorithm"),
    "alg None": (18, lambda i: _with_header(i, {"alg": "None"}, ""), "algorithm"),
    "alg nOnE, and signed": (18, lambda i: _with_header(i, {"alg": "nOnE"}, _parts(i)[2]), "algorithm"),
    "no algorithm": (18, lambda i: _with_header(i, {}, _parts(i)[2]), "not good"),
    "HS256 with the public key": (19, _hs256, "algorithm"),
    "an algorithm that is not in the list": (19, lambda i: i.token({"alg": "RS512"}), "algorithm"),
    "a path as key id": (20, lambda i: i.token({"kid": "../../dev/null"}), "a key that its issuer does not have"),
    "SQL as key id": (20, lambda i: i.token({"kid": "' or '1'='1"}), "a key that its issuer does not have"),
    "a long key id": (20, lambda i: i.token({"kid": "x" * 1_000}), "not good"),
    "a key id of 10 KiB": (20, lambda i: i.token({"kid": "x" * 10_240}), "a token, are wanted"),
    "a number as key id": (20, lambda i: _with_header(i, {"alg": "RS256", "kid": 1}, _parts(i)[2]), "key id"),
    "brings its own key": (
        21, lambda i: i.token({"jwk": _stranger().as_dict(private=False)}, _stranger()), "not good",
    ),
    "names its own keys": (21, lambda i: i.token({"jku": f"{i.url}/keys"}, _stranger()), "not good"),
    "names its certificate": (21, lambda i: i.token({"x5u": f"{i.url}/keys"}, _stranger()), "not good"),
    "signed by a stranger": (21, lambda i: i.token(key=_stranger()), "not good"),
    "another audience": (22, lambda i: i.token(aud="somebody-else"), "aud"),
    "other audiences": (22, lambda i: i.token(aud=["a", "b", 7]), "aud"),
    "no audience": (22, lambda i: i.token(aud=None), "aud"),
    "another issuer": (22, lambda i: i.token(iss="https://elsewhere.example"), "another issuer"),
    "no issuer": (22, lambda i: i.token(iss=None), "another issuer"),
    "expired": (23, lambda i: i.token(exp=_now() - 3600), "expired"),
    "no exp": (23, lambda i: i.token(exp=None), "exp is no instant"),
    "exp 0": (23, lambda i: i.token(exp=0), "exp is no instant"),
    "exp -1": (23, lambda i: i.token(exp=-1), "exp is no instant"),
    "exp 1e308": (23, lambda i: i.token(exp=1e308), "exp is no instant"),
    "exp in words": (23, lambda i: i.token(exp="soon"), "exp is no instant"),
    "exp NaN": (23, lambda i: i.token(exp=float("nan")), "exp is no instant"),
    "exp true": (23, lambda i: i.token(exp=True), "exp is no instant"),
    "not yet": (24, lambda i: i.token(nbf=_now() + 3600), "not good"),
    "issued tomorrow": (24, lambda i: i.token(iat=_now() + 86_400), "not good"),
    "nbf in words": (24, lambda i: i.token(nbf="soon"), "nbf is no instant"),
    "five parts": (25, lambda i: f"{i.token()}.{_parts(i)[1]}.{_parts(i)[2]}", "no signed token"),
    "one in another": (25, lambda i: i.token({"cty": "JWT", "typ": "JWE"}), "another kind"),
    "b64 false": (25, lambda i: _signed(i, {"alg": "RS256", "kid": "one", "b64": False}), "not good"),
    "an unknown crit": (25, lambda i: _signed(i, {"alg": "RS256", "kid": "one", "crit": ["exp"]}), "extensions"),
    "changed": (25, lambda i: _changed(i.token()), "not good"),
    "no signature": (25, lambda i: ".".join(_parts(i)[:2]) + ".", "not good"),
    "no subject": (25, lambda i: i.token(sub=None), "sub"),
    "a subject that is none": (25, lambda i: i.token(sub=7), "sub"),
    "a long subject": (25, lambda i: i.token(sub="s" * 200), "sub"),
    "too long": (25, lambda i: i.token(more="x" * 9000), "a token, are wanted"),
    "an ID token": (26, lambda i: i.token(nonce="n"), "ID token"),
    "an ID token of a flow": (26, lambda i: i.token(at_hash="x"), "ID token"),
    "the token of a sign-out": (26, lambda i: i.token({"typ": "logout+jwt"}), "another kind"),
}  # fmt: skip

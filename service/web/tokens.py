"""Bearer tokens: JWTs of one issuer, for the audiences and with the algorithms of the settings.

Source: RFC 7519; RFC 8725 for what can go wrong with them; RFC 9068 for access tokens. A token cannot be revoked: what
was found out about one is believed for ten seconds, so that a key that the issuer took away is not for longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import secrets
import threading
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError

from service.domain import errors
from service.domain.access import Kind, Principal, Role
from service.settings import Settings
from service.web import issuer as issuers

LONGEST = 8192  #: characters of a token
BELIEVED = 10.0  #: seconds
MOST = 10_000  #: tokens that are remembered
LEEWAY = 30.0  #: seconds that clocks may differ
LONGEST_NAME = 80  #: characters of a subject
TYPES = ("jwt", "at+jwt", "application/at+jwt")
#: An ID token says who somebody is to the program that they signed in to. It opens nothing.
OF_ID_TOKENS = ("nonce", "at_hash", "c_hash")


class Tokens:
    """Tells good tokens from bad ones. Used by many threads."""

    def __init__(self, settings: Settings, issuer: issuers.Issuer) -> None:
        self._settings = settings
        self._issuer = issuer
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()  # With the instant of its end.

    def glance(self, text: str) -> Principal | None:
        """Whose token it is, if that was found out just now."""
        found = self._known.get(self._hash(text))
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def look(self, text: str) -> Principal:
        """Whose token it is. Raises BadCredential, NotPermitted for one without a role, IssuerUnavailable."""
        if (found := self.glance(text)) is not None:
            return found
        if not self._settings.oidc_audience:
            raise errors.BadCredential("tokens are not taken: MILLRACE_OIDC_AUDIENCE is not set")
        claims = verify(text, self._issuer, self._settings.oidc_algorithms, self._settings.oidc_audience)
        if any(name in claims for name in OF_ID_TOKENS):
            raise errors.BadCredential("this is an ID token: an access token is wanted")
        role = role_of(claims, self._settings)
        if role is None:
            raise errors.NotPermitted(f"the token has no role here (claim {self._settings.oidc_role_claim})")
        principal = Principal(name_of(claims), role, Kind.TOKEN)
        left = min(BELIEVED, claims["exp"] - time.time())
        if left > 0:
            with self._lock:
                self._known[self._hash(text)] = (principal, time.monotonic() + left)
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
        return principal

    def _hash(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(errors="replace"), key=self._secret, digest_size=16).digest()


def verify(text: str, issuer: issuers.Issuer, algorithms: Sequence[str], audiences: Sequence[str]) -> dict[str, Any]:
    """The claims of a token of this issuer, for one of these audiences. Raises BadCredential, IssuerUnavailable."""
    if len(text) > LONGEST or text.count(".") != 2:
        raise errors.BadCredential("this is no signed token")
    try:
        header = jws.extract_compact(text.encode()).headers()
        _check_header(header, algorithms)
        claims = _decoded(text, issuer.keys(header.get("kid")), list(algorithms))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise errors.BadCredential(f"the token is not good: {type(error).__name__}") from None
    _check_claims(claims, issuer.url, audiences, time.time())
    return claims


def _decoded(text: str, keys: Sequence[Any], algorithms: list[str]) -> dict[str, Any]:
    """The claims of a token that one of these keys has signed; raises as joserfc does, and BadCredential."""
    if not keys:
        raise errors.BadCredential("the token is signed with a key that its issuer does not have")
    for key in keys[:-1]:
        with contextlib.suppress(JoseError, ValueError):
            return jwt.decode(text, key, algorithms=algorithms).claims
    return jwt.decode(text, keys[-1], algorithms=algorithms).claims


def role_of(claims: dict[str, Any], settings: Settings) -> Role | None:
    """The highest role that the claim names."""
    found: Any = claims.get(settings.oidc_role_claim)
    if found is None:
        found = claims
        for part in settings.oidc_role_claim.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    given = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    known = dict(settings.oidc_roles) or {role.value: role for role in Role}
    roles = {known[value] for value in given if isinstance(value, str) and value in known}
    return max(roles, key=list(Role).index, default=None)


def name_of(claims: dict[str, Any]) -> str:
    """The name of a subject, which no key or user can have. Raises BadCredential."""
    name = f"oidc:{urllib.parse.quote(claims['sub'], safe='@._:|-')}"
    if len(name) > LONGEST_NAME:
        raise errors.BadCredential(f"the token's sub is longer than {LONGEST_NAME - 5} characters")
    return name


def _check_header(header: dict[str, Any], algorithms: Sequence[str]) -> None:
    kid = header.get("kid")
    if header.get("alg") not in algorithms:
        raise errors.BadCredential(f"the token's algorithm is not one of {', '.join(algorithms)}")
    if "crit" in header or header.get("b64") is False:
        raise errors.BadCredential("the token asks for extensions that are not known here")
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        raise errors.BadCredential("this is another kind of token: an access token is wanted")
    if kid is not None and (not isinstance(kid, str) or len(kid) > 256):
        raise errors.BadCredential("the token's key id is none")


def _check_claims(claims: dict[str, Any], issuer: str, audiences: Sequence[str], now: float) -> None:
    if claims.get("iss") != issuer:
        raise errors.BadCredential("the token is of another issuer")
    given = claims.get("aud")
    meant = given if isinstance(given, list) else [given]
    if not any(isinstance(one, str) and one in audiences for one in meant):
        raise errors.BadCredential("the token is meant for somebody else (aud)")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise errors.BadCredential("the token names nobody (sub)")
    for name in ("exp", "nbf", "iat"):
        value: Any = claims.get(name)
        if value is None and name != "exp":
            continue
        if type(value) not in (int, float) or not math.isfinite(value) or not 0 < value < 1e11:
            raise errors.BadCredential(f"the token's {name} is no instant")
    if claims["exp"] <= now - LEEWAY:
        raise errors.BadCredential("the token has expired")
    if max(claims.get("nbf") or 0, claims.get("iat") or 0) > now + LEEWAY:
        raise errors.BadCredential("the token is not good yet")

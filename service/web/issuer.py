"""The issuer of tokens (OpenID Connect): its metadata and its keys, fetched with bounds and kept for a while.

Source: OpenID Connect Discovery 1.0, RFC 7517. The address of the keys comes from the issuer's own metadata; what a
token says of keys (``jku``, ``x5u``, ``jwk``) is never followed.
"""

from __future__ import annotations

import functools
import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
from joserfc import jwk
from joserfc.errors import JoseError

from service import signals
from service.domain import errors
from service.values import is_loopback

log = logging.getLogger("millrace.access")

FRESH = 600.0  #: seconds for which keys are taken as they are
STALE = 86_400.0  #: seconds for which old keys do while the issuer is away
AGAIN = 30.0  #: seconds between questions, at least: tokens with made-up key ids bring no flood of them
TIMEOUT = 3.0  #: seconds for the answer to a form
STEP = 1.5  #: seconds for a document; the keys are two of them away
LARGEST = 256 * 1024  #: bytes of an answer
KINDS = ("RSA", "EC", "OKP")

Fetch = Callable[[str, dict[str, str] | None], Any]


def fetch(url: str, form: dict[str, str] | None = None) -> Any:
    """The JSON document at a URL, or the answer to a form. Raises IssuerUnavailable; redirects are not followed."""
    within = STEP if form is None else TIMEOUT
    end = time.monotonic() + within
    try:
        with httpx.Client(timeout=within, follow_redirects=False, trust_env=False, verify=_tls()) as client:
            method = "GET" if form is None else "POST"
            headers = {"Accept": "application/json"}
            with client.stream(method, url, data=form, headers=headers) as response:
                parts, size = [], 0
                for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > LARGEST:
                        raise errors.IssuerUnavailable(f"the answer of {_host(url)} is larger than {LARGEST} bytes")
                    if time.monotonic() > end:
                        raise errors.IssuerUnavailable(f"the answer of {_host(url)} did not come in {within:g} s")
    except httpx.HTTPError as error:
        raise errors.IssuerUnavailable(f"{_host(url)} does not answer: {type(error).__name__}") from None
    if response.status_code != 200:
        raise errors.IssuerUnavailable(f"{_host(url)} answers with {response.status_code}")
    try:
        return msgspec.json.decode(b"".join(parts))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise errors.IssuerUnavailable(f"the answer of {_host(url)} is no JSON") from None


@functools.cache
def _tls() -> ssl.SSLContext:
    """Whom it trusts: the authorities of the system, or those that SSL_CERT_FILE names, as everywhere in Millrace."""
    return ssl.create_default_context()


class Issuer:
    """One issuer, as one process knows it. Used by many threads."""

    def __init__(self, url: str, *, get: Fetch = fetch, now: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._get = get
        self._now = now
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._got = self._asked = float("-inf")  # When keys came; when they were asked for.
        self._is_away = False  # It did not answer when it was asked last.

    def keys(self, kid: str | None) -> list[Any]:
        """The keys that a token may be signed with: that of this id; without an id the only one, or those that have
        none themselves. Raises IssuerUnavailable.

        Of a silent issuer, this takes two steps. While one asks about a key that is known, others go on with it.
        """
        found = self._find(kid)
        if not found or self._now() - self._got > FRESH:
            self._ask(wait=not found)  # It may be new, or was taken away.
            found = self._find(kid)
        if not found and (self._is_away or self._now() - self._got > STALE):
            raise errors.IssuerUnavailable()
        return found

    def endpoint(self, name: str) -> str:
        """An address from the issuer's metadata. Raises IssuerUnavailable."""
        if not self._metadata:
            self._ask()
        found = self._metadata.get(name)
        if not isinstance(found, str) or not _is_safe(found):
            raise errors.IssuerUnavailable(f"the issuer names no {name}")
        return found

    def ask(self, url: str, form: dict[str, str]) -> Any:
        """What the issuer answers to a form."""
        return self._get(url, form)

    def _find(self, kid: str | None) -> list[Any]:
        if self._now() - self._got > STALE:
            return []
        if kid is not None:
            return [self._keys[kid]] if kid in self._keys else []
        known = list(self._keys.values())
        return known if len(known) == 1 else [key for key in known if not key.kid]

    def _ask(self, *, wait: bool = True) -> None:
        """Ask for keys, unless that was done just now. Of many at once, one asks, and others may ``wait`` for it."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._now() - self._asked <= AGAIN:
                return
            self._asked = self._now()
            try:
                place = f"{self.url.rstrip('/')}/.well-known/openid-configuration"
                metadata = self._get(place, None)
                if not isinstance(metadata, dict) or metadata.get("issuer") != self.url:
                    raise errors.IssuerUnavailable(f"{place} is not of the issuer {self.url}")
                self._metadata = metadata
                uri = metadata.get("jwks_uri")
                if not isinstance(uri, str) or not _is_safe(uri):
                    raise errors.IssuerUnavailable("the issuer names no jwks_uri with https")
                self._keys = _read(self._get(uri, None))
                self._got = self._now()
                self._is_away = False
                signals.connection_changed.send(None, peer="issuer", up=True)
            except errors.IssuerUnavailable as error:
                # What is known goes on being good for a while.
                self._is_away = True
                signals.connection_changed.send(None, peer="issuer", up=False)
                log.warning("The issuer cannot be asked: %s", error, extra={"action": "access.issuer_away"})
        finally:
            self._lock.release()


def _read(document: Any) -> dict[str, Any]:
    """The keys of a set that signatures can be checked with, by their ids."""
    found: dict[str, Any] = {}
    entries = document.get("keys") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.get("kty") not in KINDS or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwk.import_key(entry)
            # One without an id of its own is known by its thumbprint (RFC 7638), so that none takes another's place.
            found[str(entry.get("kid") or key.thumbprint())] = key
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # Of a kind that is not known here.
    return found


def _is_safe(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.host))


def _host(url: str) -> str:
    return httpx.URL(url).host

"""An issuer whose certificate an authority of one's own has signed: who is trusted is said as everywhere else."""

from __future__ import annotations

import http.server
import pathlib
import ssl
import threading
from collections.abc import Iterator

import pytest

from service.domain import errors
from service.web import issuer
from tests.certificates import Authority


class Answer(http.server.BaseHTTPRequestHandler):
    """Says one thing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"issuer": "here"}')

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("issuer"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_an_authority_that_the_environment_names_is_trusted(
    url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer._tls.cache_clear()
    with pytest.raises(errors.IssuerUnavailable):
        issuer.fetch(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    issuer._tls.cache_clear()
    try:
        assert issuer.fetch(url) == {"issuer": "here"}
    finally:
        issuer._tls.cache_clear()

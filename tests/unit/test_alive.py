"""Health checks of containers: one page is asked, and the exit code tells."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from service import alive
from tests.processes import ROOT


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that is well at /well and nowhere else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()
            self.wfile.write(b"stalled")

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_it_tells_what_is_wrong(url: str) -> None:
    assert alive.fault(f"{url}/well") == ""
    assert alive.fault(f"{url}/ill") == f"{url}/ill: 503 stalled"
    assert "refused" in alive.fault("http://127.0.0.1:1/")


def test_the_exit_code_tells_the_engine(url: str) -> None:
    words = [sys.executable, "-m", "service.alive"]
    for asked, code in (([f"{url}/well"], 0), ([f"{url}/ill"], 1), ([f"{url}/well", f"{url}/ill"], 1), ([], 1)):
        assert subprocess.run([*words, *asked], cwd=ROOT, capture_output=True, check=False).returncode == code


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, service.alive; print([m for m in sys.modules if m.startswith(('pydantic', 'celery', 'flask'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""The HTTP door on a real ledger, in the test's own process: posts by Flask's test client, work by the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from flask.testing import FlaskClient
from werkzeug import serving

from service import bootstrap, web
from service.application.watch import Watch
from service.ledger import engine as engines
from service.ledger.queries import Queries
from service.settings import Settings
from tests.ledgers import Ledger
from tests.patience import PATIENCE
from tests.threads import beside


class Front:
    """A road for ``create_app``. ``size``: of its own pool of connections; 0: it shares that of the ledger."""

    def __init__(self, ledger: Ledger, *, size: int = 0, **settings: Any) -> None:
        # Not from the environment, which is nobody's business here. Of a machine that stands still for a moment the
        # door shall not think that its ledger is slow.
        given = {"database_url": ledger.url, "accept_deadline": 10.0 * PATIENCE, "web_threads": 512}
        self.settings = Settings.model_construct(**given | settings)
        self.ledger = ledger
        self.registry = ledger.registry
        self.intake = ledger.intake
        self.publisher = ledger.publisher
        engine = engines.Engine(ledger.url, size=size) if size else ledger.engine
        self.queries = Queries(engine)
        self.operations = bootstrap.operations(self.settings, engine, ledger.registry)
        watching = Queries(engines.Engine(ledger.url, role="millrace-watch"))
        self.watch = Watch(watching, room=self.settings.web_threads // 4)

    def client(self) -> FlaskClient:
        """A client at the door of this road."""
        return web.create_app(self).test_client()


def operator(ledger: Ledger, name: str) -> FlaskClient:
    """A client whose acts are those of this operator; several may act at once."""
    client = Front(ledger, size=8).client()
    client.environ_base["HTTP_X_PRODUCER"] = name
    return client


@contextlib.contextmanager
def served(ledger: Ledger, around: Callable[[Any], Any] = lambda app: app, **settings: Any) -> Iterator[str]:
    """A door at an address, in the test's own process. ``around``: what is put around its WSGI application."""
    app = web.create_app(Front(ledger, **settings))
    server = serving.make_server("127.0.0.1", 0, around(app), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LATER = "select id::text from millrace.events where run_at > clock_timestamp()"


@contextlib.contextmanager
def worked(ledger: Ledger, *, leaving: str = "") -> Iterator[None]:
    """A worker beside the test: what is due is delivered again and again, but for the event ``leaving``."""

    def run(over: threading.Event) -> None:
        while not over.wait(0.02):
            deliveries = ledger.tickets()
            later = {row[0] for row in ledger.sql(LATER)}
            for delivery in deliveries:
                if not {*delivery.event_ids} & {leaving, *later}:
                    ledger.executor.execute(delivery)

    with beside([run]):
        yield

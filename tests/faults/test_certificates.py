"""The servers show bad certificates, and good ones again: what is connected stays, nobody is started anew (P1, P3)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.certificates import Authority
from tests.faults.checker import Trial
from tests.patience import wait
from tests.road import Door, Process, Road

pytestmark = pytest.mark.heavy

OURS = "from pg_stat_activity where datname = current_database() and application_name like 'millrace-%'"


class Servers:
    """A ledger and a broker that show certificates of one authority, which are checked by whoever connects."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.sign("servers")
        self.ledger = PostgresServer(folder / "postgres", options=servers.FAST, tls=True)
        self.tls_port = ports.free()
        options = {
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "ssl_options.cacertfile": str(self.authority.certificate),
            "ssl_options.certfile": str(certificate),
            "ssl_options.keyfile": str(key),
        }
        self.broker = RabbitNode(folder / "rabbitmq", options=options)

    def urls(self) -> dict[str, str]:
        """Their addresses, for who checks what they show."""
        ledger, authority = self.ledger.dsn_of("expiring"), self.authority.certificate
        broker = self.broker.url.replace("amqp://", "amqps://").replace(f":{self.broker.port}/", f":{self.tls_port}/")
        return {
            "database_url": ledger.replace("sslmode=require", f"sslmode=verify-full&sslrootcert={authority}"),
            "broker_url": f"{broker}?cacertfile={authority}",
        }

    def show(self, **what: Any) -> None:
        """Have both show a certificate of the authority's, from the next connection on; a good one by itself."""
        for made, shown in zip(
            self.authority.sign("servers", **what),
            (self.ledger.cluster.certificate, self.ledger.cluster.key),
            strict=True,
        ):
            shown.write_bytes(made.read_bytes())
        self.ledger.execute("select pg_reload_conf()")
        self.broker.ctl("eval", "ssl:clear_pem_cache().")  # It forgets a file by itself within two minutes.

    def hang_up(self, road: Road) -> None:
        """End all connections, as a restart would."""
        road.sql(f"select pg_terminate_backend(pid) {OURS}")
        self.broker.ctl("close_all_connections", "--vhost", "/", "test")


class TestCertificates:
    """One web process, one worker and one clock."""

    @pytest.fixture(scope="class")
    @classmethod
    def both(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
        servers.need_postgres()
        servers.need_rabbitmq()
        found = Servers(tmp_path_factory.mktemp("servers"))
        try:
            found.ledger.start()
            found.broker.start()
            found.ledger.execute("create database expiring")
            found.show()
            yield found
        finally:
            found.broker.stop()
            found.ledger.stop()

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, both: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
        # The test itself checks nothing that it is shown, so that it can look at any time.
        folder = tmp_path_factory.mktemp("road")
        limits = {"soft_limit": "20", "hard_limit": "30"}  # Longer than the servers are away.
        road = Road(both.ledger.dsn_of("expiring"), both.broker.url, folder, **limits).prepare()
        yield road
        road.stop()

    @pytest.fixture(scope="class")
    @classmethod
    def processes(cls, both: Servers, road: Road) -> list[Process]:
        return [road.worker(**both.urls()), road.clock(**both.urls())]

    @pytest.mark.fault(60)
    @pytest.mark.parametrize(
        "bad", [{"days": -1}, {"good_for": "DNS:elsewhere.test"}], ids=["has expired", "is another host's"]
    )
    def test_a_certificate_that_is_not_good_is_refused_and_a_new_one_is_taken(
        self, both: Servers, road: Road, processes: list[Process], trial: Trial, bad: dict[str, Any]
    ) -> None:
        door: Door = road.web(**both.urls())
        families = [p.family() for p in (door.process, *processes)]
        with trial(road, door) as load:
            both.show(**bad)
            load.wait_for_accepted(40)  # Of what is connected nothing is asked again.
            assert not load.refused()
            both.hang_up(road)
            wait(load.refused, 20, "posts are refused")
            load.wait_for(20)
            assert road.one(f"select count(*) {OURS}") == 0, "somebody took a certificate that is not good"
            assert "certificate" in door.process.text(), "the log does not say why"
            both.show()
        assert [p.family() for p in (door.process, *processes)] == families, "somebody was started anew"

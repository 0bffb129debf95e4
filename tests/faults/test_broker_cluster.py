"""A broker of three nodes loses its leader, or its majority; the road goes on, or waits and heals alone (P1, P3)."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator

import pytest

from service.domain import topology
from service.local.postgres import PostgresServer
from tests import servers
from tests.door import Door
from tests.faults.checker import Record, Trial
from tests.faults.cluster import BrokerCluster
from tests.faults.workload import Workload
from tests.patience import PATIENCE, wait
from tests.road import Road

GAP = 5.0  #: seconds without any event worked, when a leader is lost

pytestmark = pytest.mark.heavy


class TestCluster:
    """The whole product speaks with the third node; the queues are led by others."""

    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
        servers.need_rabbitmq()
        cluster = BrokerCluster(tmp_path_factory.mktemp("cluster"))
        try:
            yield cluster.start()
        finally:
            cluster.stop()

    @pytest.fixture(scope="class")
    @classmethod
    def road(
        cls, cluster: BrokerCluster, ledger_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Road]:
        ledger_server.execute("create database clustered")
        folder: pathlib.Path = tmp_path_factory.mktemp("road")
        # Whoever declares a queue has its leader; and a node that is lost takes nobody's connection along.
        road = Road(ledger_server.dsn_of("clustered"), cluster.nodes[0].url, folder).prepare()
        road.broker = cluster.nodes[-1].url
        road.worker()
        road.clock()
        yield road
        road.stop()

    @pytest.mark.fault(2)
    def test_another_node_leads_when_the_leader_is_killed(
        self, cluster: BrokerCluster, road: Road, door: Door, trial: Trial, record_property: Record
    ) -> None:
        leader = cluster.leader(topology.EVENTS_QUEUE)
        assert leader is not cluster.nodes[-1], "the clients would lose their connection, too"
        with trial(road, door) as load:
            leader.kill()
            load.wait_for_accepted(200)
        leader.start()
        assert cluster.leader(topology.EVENTS_QUEUE) is not leader
        assert_short_gap(road, load, record_property)

    @pytest.mark.fault(3)
    def test_a_minority_takes_nothing_and_goes_on_when_the_others_are_back(
        self, cluster: BrokerCluster, road: Road, door: Door, trial: Trial
    ) -> None:
        *lost, left = cluster.nodes
        with trial(road, door) as load:
            for node in lost:
                node.kill()
            wait(lambda: not left.accepts(), 30, "the minority pauses", step=0.2)
            load.wait_for_accepted(200)  # It is the ledger that makes them safe.
            assert_nothing_is_worked(road, load, 100)
            for node in lost:
                node.launch()
            for node in cluster.nodes:
                wait(node.accepts, 90, f"{node.folder.name} is back", step=0.2)

    @pytest.mark.fault(4)
    def test_most_go_on_when_the_leader_is_cut_off(
        self, cluster: BrokerCluster, road: Road, door: Door, trial: Trial, record_property: Record
    ) -> None:
        """And it gives up its place: two leaders would each take messages of their own."""
        leader = cluster.nodes[0]
        cluster.lead(topology.EVENTS_QUEUE, leader)
        with trial(road, door) as load:
            cluster.cut_off(leader)
            wait(lambda: not leader.accepts(), 30, "who is alone pauses", step=0.2)
            load.wait_for_accepted(200)
            cluster.join_again(leader)
            wait(leader.accepts, 90, "it is back", step=0.2)
        assert cluster.leader(topology.EVENTS_QUEUE) is not leader
        assert_short_gap(road, load, record_property)

    @pytest.mark.fault(4)
    def test_who_is_on_the_smaller_side_waits_until_the_cut_is_mended(
        self, cluster: BrokerCluster, road: Road, door: Door, trial: Trial
    ) -> None:
        ours = cluster.nodes[-1]
        with trial(road, door) as load:
            cluster.cut_off(ours)
            wait(lambda: not ours.accepts(), 30, "our side pauses", step=0.2)
            load.wait_for_accepted(100)  # It is the ledger that makes them safe.
            assert_nothing_is_worked(road, load, 50)
            cluster.join_again(ours)
            wait(ours.accepts, 90, "it is back", step=0.2)


def assert_nothing_is_worked(road: Road, load: Workload, number: int) -> None:
    """So many that were accepted last all wait: the broker is out."""
    waiting = road.states(list(load.accepted().values())[-number:])
    assert waiting["pending"] == number, "something was worked: the broker was not out"


def assert_short_gap(road: Road, load: Workload, record_property: Record) -> None:
    """There was no long time in which none of these events was finished; how long it was is recorded."""
    rows = road.sql(
        "select extract(epoch from finished_at)::float from millrace.events where id = any(%s::uuid[]) order by 1",
        list(load.accepted().values()),
    )
    gap = max(later - earlier for (earlier,), (later,) in itertools.pairwise(rows))
    record_property("gap", round(gap, 2))
    assert gap < GAP * PATIENCE

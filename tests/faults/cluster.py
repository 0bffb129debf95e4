"""Three RabbitMQ nodes in one cluster, of which a minority pauses: every quorum queue has a replica on each."""

from __future__ import annotations

import pathlib

from service.local import spawn
from service.local.rabbitmq import RabbitNode
from tests.patience import wait

SIZE = 3
OPTIONS = {"cluster_partition_handling": "pause_minority"}


class BrokerCluster:
    """The nodes. The first keeps the epmd that all use, which outlives a kill of the node."""

    def __init__(self, home: pathlib.Path) -> None:
        first = RabbitNode(home / "1", options=OPTIONS)
        self.nodes = [first]
        self.nodes += [RabbitNode(home / str(n), options=OPTIONS, beside=first) for n in range(2, SIZE + 1)]

    def start(self) -> BrokerCluster:
        """Start all nodes, and join them."""
        first, *others = self.nodes
        first.start()
        for node in others:
            node.launch()
        for node in others:
            assert spawn.wait_until(node.accepts, 60, step=0.2), f"see {node.folder.log}"
            node.join()
        return self

    def stop(self) -> None:
        """Stop all; with the first goes the epmd."""
        for node in self.nodes:
            node.kill()
        self.nodes[0].release()

    def cut_off(self, node: RabbitNode) -> None:
        """Part a node from the others, as a switch that dies does. It needs no root: they refuse each other's calls."""
        self._with_others(node, "erlang:set_cookie(N, cut), erlang:disconnect_node(N)")

    def join_again(self, node: RabbitNode) -> None:
        """Let a node that was cut off speak with the others."""
        self._with_others(node, "erlang:set_cookie(N, erlang:get_cookie()), net_adm:ping(N)")

    def _with_others(self, node: RabbitNode, action: str) -> None:
        """Have a node do something (in Erlang) with each of the others, N."""
        others = ", ".join(f"'{other.folder.name}'" for other in self.nodes if other is not node)
        node.ctl("eval", f"[begin {action} end || N <- [{others}]].")

    def lead(self, queue: str, node: RabbitNode) -> None:
        """Have this node lead a quorum queue."""
        if self.leader(queue) is not node:
            found = f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>))'
            node.ctl("eval", f"{found}, rabbit_quorum_queue:transfer_leadership(Q, '{node.folder.name}').")
            wait(lambda: self.leader(queue) is node, 30, f"{node.folder.name} leads {queue}", step=0.5)

    def leader(self, queue: str) -> RabbitNode:
        """The node that leads a quorum queue, which must have a replica on each node."""
        found: list[str] = []

        def led_by_one_of_all() -> bool:
            found[:] = self._row(queue)
            return len(found) == 2 and found[1].count("@") == SIZE

        wait(led_by_one_of_all, 30, f"{queue} has {SIZE} replicas", step=0.5)
        return next(node for node in self.nodes if node.folder.name == found[0])

    def _row(self, queue: str) -> list[str]:
        """Leader and members of a queue, as one of the nodes that run knows them."""
        running = next(node for node in self.nodes if node.pid)
        rows = running.ctl("list_queues", "--silent", "name", "leader", "members").splitlines()
        return next((row.split("\t")[1:] for row in rows if row.split("\t")[0] == queue), [])

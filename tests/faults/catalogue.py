"""The faults that Millrace is tried by, each with the promises it is about (P1 … P8, see README.md).

A test says ``@pytest.mark.fault(number)``; ``make faults`` runs them, and writes docs/reliability.md.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One way in which the world may fail us."""

    number: int
    name: str
    promises: str  #: which of P1 … P8, with spaces between


def _faults(table: str) -> dict[int, Fault]:
    rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {int(number): Fault(int(number), name, promises) for number, promises, name in rows}


FAULTS = _faults("""
 1 | P1 P3    | the broker is killed and comes back
 2 | P1       | the leader of a three-node broker is killed
 3 | P1 P3    | two of three broker nodes are lost
 4 | P1       | a broker cluster is cut in two
 5 | P1 P3    | the broker's memory alarm
 6 | P1 P3    | the broker's disk alarm
 7 | P1 P3    | the broker freezes
 8 | P1 P3    | packets between web and broker vanish
 9 | P1 P2    | the connection to the broker breaks at any byte of a publish
10 | P1 P3    | the broker is slow: seconds of latency, a narrow line
11 | P1 P3    | exchange, queue or binding are deleted in mid-run
12 | P1       | a queue is full and refuses
13 | P1 P3    | the broker's password or permissions are taken away
14 | P1 P3    | the broker has no connection left to give
15 | P1 P2    | PostgreSQL is restarted, politely or not
16 | P1 P2    | PostgreSQL fails over to a standby
17 | P1 P4    | PostgreSQL turns read-only
18 | P1 P3 P4 | PostgreSQL has no connection left to give
19 | P2 P4    | deadlocks and serialisation failures
20 | P1 P3    | a statement hangs, a lock is held, the ledger's packets vanish
21 | P1 P3 P4 | PostgreSQL's disk is full
22 | P1 P2    | the answer to a commit is lost
23 | P1 P2    | a session is ended in mid-transaction
24 | P1 P2 P4 | a worker's child is killed in mid-handler
25 | P1 P2 P4 | a worker's child runs out of memory
26 | P1 P2    | a whole worker is killed
27 | P4 P6    | a handler hangs, and ignores what tells it to stop
28 | P1 P2    | a worker's parent hangs
29 | P4 P6    | poison: it always raises, kills, or hangs
30 | P4       | messages on our queues that are not ours
31 | P3 P4    | too large a body, message or header
32 | P2       | the same post many times, at once too
33 | P2       | the same idempotency key with another body
34 | P2       | the same ticket is delivered twice
35 | P1 P2 P4 | consumers are cut off every second
36 | P4 P6    | what all handlers need is down
37 | P6       | one type is slow
38 | P1 P3 P6 | a backlog of a million
39 | P6       | one producer floods the door
40 | P1 P3 P7 | a web process is told to end with requests in flight
41 | P1 P2 P7 | a worker is told to end, in each way
42 | P7       | two versions of the code side by side
43 | P7       | the schema is migrated in mid-run
44 | P7       | the code is rolled back after a migration
45 | P5       | many clocks
46 | P5       | a clock is killed at any point of a tick
47 | P5       | a clock freezes, and wakes up when others have gone on
48 | P5       | no clock for hours
49 | P5       | the wall clock jumps
50 | P5       | summer time, leap days, week 53
51 | P1       | the hosts' clocks disagree
52 | P4       | the dead queue is full or gone
53 | P1       | the log's disk is full, or its reader is stuck
54 | P1       | /tmp is full, the root is read-only
55 | P3       | no file descriptor, thread or process is left
56 | —        | the keys of an identity provider cannot be had
57 | P4       | the receiver of a webhook is slow, gone, or lies
58 | P1 P3    | someone reads the metrics very slowly
59 | P1       | a server's name points to another address
60 | P1       | a certificate expires, and is replaced
61 | P1 P2    | everything starts at once, in any order
62 | P1 P2    | an old backup of the ledger meets a newer broker
""")

#: Why a fault has no test, where it is not that nobody has written one yet.
UNCOVERED: dict[int, str] = {}

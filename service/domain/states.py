"""The states of an event, and the only ways between them."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """What the ledger says of an event. Kept as text in the column ``events.state``."""

    PENDING = "pending"  #: accepted, not worked yet; covered by a ticket
    RUNNING = "running"  #: a detached handler holds it by a lease; covered by a ticket
    SUCCEEDED = "succeeded"  #: the handler's effect and this word were committed together
    DEAD = "dead"  #: a dead letter: kept with reason and history, can be replayed
    CANCELLED = "cancelled"  #: withdrawn before it was worked, or while its detached handler ran
    EXPIRED = "expired"  #: its ``expires_at`` passed before it was worked


#: The whole table: from a state, to what it may change. A final state goes nowhere; a replay is a *new* event.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset(
        {State.PENDING, State.RUNNING, State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED}
    ),
    # To itself: another run takes over from one whose lease ended.
    State.RUNNING: frozenset({State.PENDING, State.RUNNING, State.SUCCEEDED, State.DEAD, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.DEAD: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}

#: States in which an event still needs work, and therefore a ticket.
OPEN = frozenset({State.PENDING, State.RUNNING})


def sources(target: State) -> list[str]:
    """The states from which ``target`` may be reached: what an update of the ledger must name."""
    return sorted(state.value for state, targets in TRANSITIONS.items() if target in targets)


class Waiting(enum.StrEnum):
    """Why a pending event has not been worked yet, in the words shown to people."""

    SCHEDULED = "scheduled"  #: its ``run_at`` lies ahead
    QUEUED = "queued"  #: its ticket is with the broker, or about to be
    RETRYING = "retrying"  #: an attempt failed and its back-off is running
    PAUSED = "paused"  #: its type or its queue is paused
    HELD_BACK = "held back"  #: its type has a full window of published events

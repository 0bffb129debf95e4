"""What a few lines of plain Python say of the road: the model of ``tests/integration/test_machine.py``."""

from __future__ import annotations

import dataclasses

from service.application import execute
from service.domain import ticket as tickets

ATTEMPTS = 3  #: before an event is dead


@dataclasses.dataclass
class Modelled:
    """An event as it should be."""

    type: str
    script: list[str]  #: what its handler does at each attempt; then it works
    ticket: str  #: that covers it; empty: a new one, whose id is not known yet
    state: str = "pending"
    attempt: int = 0
    crashes: int = 0
    replayed: bool = False
    tickets: set[str] = dataclasses.field(default_factory=set)  #: that covered it


class Model(dict[str, Modelled]):
    """All events, by id."""

    awake = False  #: nothing is put off any more

    def accept(self, type_name: str, scripts: list[list[str]], ids: list[str]) -> None:
        """These are new."""
        self.update({i: Modelled(type_name, script, "") for i, script in zip(ids, scripts, strict=True)})

    def one(self, which: int, state: str = "") -> tuple[str, Modelled]:
        """One of them, or of those in a state."""
        found = [(i, m) for i, m in self.items() if m.state == state or not state]
        return found[which % len(found)]

    def deliver(self, delivery: tickets.Delivery, crash: str | None = None) -> None:
        """Change as this delivery should change the ledger; ``crash``: the process dies in that event's handler."""
        live = [i for i in delivery.event_ids if self.is_live(i, delivery.ticket)]
        if crash in live and not delivery.careful:
            before = [i for i in live if i < crash]
            if all(self.next_word(i) == "ok" for i in before):
                return  # It died in the one transaction of all.
            live = live[: live.index(crash)]
        for event_id in live:
            found = self[event_id]
            if delivery.careful:
                found.crashes += 1
                if found.crashes > execute.CRASHES:
                    found.state = "dead"
                    continue
                if event_id == crash:
                    return
            self.work_off(event_id)

    def is_live(self, event_id: str, ticket: str) -> bool:
        return self[event_id].state == "pending" and self[event_id].ticket == ticket

    def next_word(self, event_id: str) -> str:
        return self.word(self[event_id].script, self[event_id].attempt)

    def work_off(self, event_id: str) -> None:
        """One run that comes to its end."""
        found, word = self[event_id], self.next_word(event_id)
        found.attempt += word != "snooze"
        found.crashes = 0
        if word == "ok":
            found.state = "succeeded"
        elif word == "discard" or (word != "snooze" and found.attempt == ATTEMPTS):
            found.state = "dead"
        else:
            found.ticket = ""

    def word(self, script: list[str], ended: int) -> str:
        """What is to be done after so many attempts."""
        word = script[ended] if ended < len(script) else "ok"
        return "ok" if word == "snooze" and self.awake else word

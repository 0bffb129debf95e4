"""Clients who post numbered events while a fault goes on, and keep their own record of what they were told."""

from __future__ import annotations

import functools
import itertools
import threading
from typing import Any, Self

from tests.door import Answer, Door
from tests.patience import wait

#: Of this process, so that no two workloads on one road share a number.
_numbers = itertools.count(1)


class Workload:
    """A few threads that post at a bounded rate, from entering to leaving.

    Each event carries a number of its own, which its effect keeps. So what became of a post is known even where no
    answer came that could have named an event. Every other one has an idempotency key, as a client sends it who will
    post again what may not be stored.
    """

    keyed = True  #: whether every other post has an idempotency key

    def __init__(self, *doors: Door, rate: float = 40.0, threads: int = 4, type_name: str = "ledger.step") -> None:
        self.answers: dict[int, Answer] = {}  #: number → what its client was told
        self.doors = doors
        self.type = type_name
        self._pause = threads / rate  # From one post of a thread to its next.
        self.ended = threading.Event()
        self._broken: BaseException | None = None
        self._threads = [threading.Thread(target=self._post, name=f"client-{n}") for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Have the posts under way answered, and post no more. Raises what a client has met that is no answer."""
        self.ended.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._broken is not None:
            raise self._broken

    def wait_for(self, posts: int, seconds: float = 60.0) -> None:
        """Wait until so many more posts were answered, one way or the other."""
        enough = len(self.answers) + posts
        wait(lambda: len(self.answers) >= enough, seconds, f"{posts} more posts are answered")

    def wait_for_accepted(self, posts: int, seconds: float = 60.0) -> None:
        """Wait until so many more posts were accepted."""
        enough = len(self.accepted()) + posts
        wait(lambda: len(self.accepted()) >= enough, seconds, f"{posts} more posts are accepted")

    def accepted(self) -> dict[int, str]:
        """Number → the id of the event that was promised to be worked."""
        return {n: a.id for n, a in self.answers.copy().items() if a.status == 202}

    def refused(self) -> dict[int, Answer]:
        """What was said not to be stored."""
        return {n: a for n, a in self.answers.copy().items() if a.status == 503 and a.document["stored"] == "no"}

    def unknown(self) -> dict[int, Answer]:
        """What may be stored or not: the door said so, or the connection broke."""
        answers = self.answers.copy().items()  # Before the others: what comes meanwhile is not unknown.
        known = self.accepted().keys() | self.refused().keys()
        return {n: a for n, a in answers if n not in known}

    def ask_again(self, seconds: float = 60.0) -> dict[int, str]:
        """Post again what has a key and may be stored or not, until it is accepted; number → the event's id."""
        found: dict[int, str] = {}

        def is_accepted(number: int) -> bool:
            answer = self._send(number, self.doors[-1])
            if answer.status == 202:
                found[number] = answer.id
            return answer.status == 202

        for number in self.unknown():
            if self.key_of(number):
                wait(functools.partial(is_accepted, number), seconds, "an event that may be stored is posted again")
        return found

    def key_of(self, number: int) -> str | None:
        """The idempotency key of this post, if it has one; at each of two doors every other one has."""
        return f"post-{number}" if self.keyed and number // 2 % 2 else None

    def step(self, number: int) -> None:
        """What a client does each time."""
        self.answers[number] = self._send(number, self.door_of(number))

    def door_of(self, number: int) -> Door:
        """The doors take turns."""
        return self.doors[number % len(self.doors)]

    def numbers(self, count: int) -> list[int]:
        """So many more numbers."""
        return list(itertools.islice(_numbers, count))

    def payload(self, number: int) -> dict[str, Any]:
        """What is posted."""
        return {"number": number}

    def _post(self) -> None:
        try:
            while not self.ended.wait(self._pause):
                self.step(next(_numbers))
        except BaseException as error:
            self._broken = error  # A client that is silent finds nothing.

    def _send(self, number: int, door: Door) -> Answer:
        return door.post(self.type, key=self.key_of(number), **self.payload(number))

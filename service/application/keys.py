"""Idempotency keys: of all submissions of a flush, what is new, what is a repeat, and what cannot be stored."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from service.application import ports
from service.application.submission import Accepted, Submission
from service.domain import errors, event, ids


class Conflicts(Exception):
    """Some submissions cannot be stored: the flush is begun again without them."""

    def __init__(self, submissions: list[Submission]) -> None:
        super().__init__()
        self.submissions = submissions


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """Who has a key."""

    owner: ports.Owner
    holder: Submission | None  #: the submission of this flush that brought it; None: the ledger has it already


Claims = dict[tuple[str, str], Claim]


def settle(flush: ports.Flush, batch: Sequence[Submission], now: datetime.datetime) -> list[ports.Row]:
    """The rows that are to be stored; raises Conflicts."""
    claims: Claims = {}
    asking = [
        row for submission in batch for row in submission.rows if row.event.key and _first(claims, submission, row)
    ]
    lost = flush.claim_keys(asking)
    for row in asking:
        if row.id in lost:
            claims[_place(row)] = Claim(lost[row.id], None)
    keep: list[ports.Row] = []
    faulty: dict[Submission, Submission | None] = {}  # With the other one, when it lies in the same flush.
    for submission in batch:
        for index, row in enumerate(submission.rows):
            claim = claims[_place(row)] if row.event.key else None
            if claim is None or claim.owner.event_id == row.id:
                submission.accepted.append(Accepted(row.id, row.event.type, row.event.run_at))
                keep.append(row)
                # Judged here, and not before the keys: a repeat has the same answer however late it comes.
                if _expires_too_soon(row.event, now) and submission not in faulty:
                    submission.error = errors.ExpiresTooSoon(index=index)
                    faulty[submission] = None
            elif claim.owner.fingerprint == (row.event.fingerprint or ""):
                submission.accepted.append(_again(claim.owner.event_id, submission.events[index]))
            elif submission not in faulty:
                submission.error = errors.KeyReused(index=index)
                faulty[submission] = claim.holder
    if faulty:
        raise Conflicts(_guilty(faulty))
    return keep


def _again(first: str, sent: event.NewEvent) -> Accepted:
    """What a repeat is told: the first event, as it was accepted then."""
    return Accepted(first, sent.type, sent.settled(ids.instant(first)).run_at, duplicate=True)


def _guilty(faulty: dict[Submission, Submission | None]) -> list[Submission]:
    """Those that are turned away. Who met one of them in the flush may have the key at the next try."""
    found = [one for one, other in faulty.items() if other is one or other not in faulty]
    for submission in faulty.keys() - found:
        submission.error = None
    return found


def _first(claims: Claims, submission: Submission, row: ports.Row) -> bool:
    """Whether this row is the first of the flush with its key; twins in one flush must not meet in one insert."""
    if _place(row) in claims:
        return False
    claims[_place(row)] = Claim(ports.Owner(row.id, row.event.fingerprint or ""), submission)
    return True


def _place(row: ports.Row) -> tuple[str, str]:
    return row.event.scope, row.event.key or ""


def _expires_too_soon(new: event.NewEvent, now: datetime.datetime) -> bool:
    return new.expires_at is not None and new.expires_at <= (new.run_at or now)

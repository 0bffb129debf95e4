"""What each endpoint takes and answers, as far as its view's signature and docstring do not tell.

An endpoint that is not here stands in the document all the same, with its docstring and an answer of any form.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from service.domain import errors
from service.web import body, cloudevents, keys, letters, ndjson, operations, processes, schedules, search
from service.web import errors as web
from service.web.openapi import entry, examples, figured, planned, shapes, standing

JSON = "application/json"

Faults = tuple[type[errors.MillraceError], ...]
Answers = dict[int, Any]  # Status → shape, several of them, or None for no body.

#: What any question to the ledger may meet.
READS: Faults = (errors.LedgerUnavailable, errors.Overloaded)
#: What an operator's act may meet.
ACTS: Faults = (errors.LedgerUnavailable,)
#: What a body may have wrong.
BODY: Faults = (body.NotStrictJson, errors.InvalidEvent, errors.ModelFailed)
#: What storing events may meet.
STORES: Faults = (*BODY, errors.UnknownEventType, errors.KeyReused, errors.ExpiresTooSoon, errors.NotAccepted)

#: Of the headers that a request may have, what each says.
HEADERS = {
    "Idempotency-Key": "A repeat with the same key and body is told the first event.",
    "Prefer": "wait=N: the answer is kept back for N seconds at most, until the event has ended.",
    "X-Producer": "Who sends.",
    "If-Match": "The ETag that the change was made for, or *.",
}
#: Of the headers that an answer may have, what each says.
SENT = {
    "Location": "Where the event, or the schedule, is.",
    "ETag": "The version, to be given as `If-Match`.",
    "Preference-Applied": "`wait`: the answer was kept back.",
    "Retry-After": "Seconds after which to try again.",
    "X-Request-Id": "The request's id: the client's own, or one that was made for it.",
}
SENDING = ("Idempotency-Key", "Prefer", "X-Producer")

CLOUDEVENT = {
    "specversion": "1.0", "id": "A234-1", "source": "/shop/7", "type": "orders.created", "data": {"order": 7},
}  # fmt: skip
LINES = '{"type": "orders.created", "payload": {"order": 7}, "key": "order-7"}\n'
SCHEDULE = {
    "name": "nightly", "type": "orders.shipped", "payload": {"order": 1},
    "plan": {"cron": "0 3 * * *", "tz": "Europe/Berlin"}, "overlap": "skip",
}  # fmt: skip
KEY = {"name": "orders-service", "role": "producer", "types": ["orders.*"]}
USER = {"name": "ada", "role": "operator", "password": "four words in a row"}
PLAN = {"cron": "30 2 * * SUN", "tz": "Europe/Berlin"}

ANY: dict[str, Any] = {}
TEXT = {"type": "string"}


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    """A body of one media type."""

    shape: Any  #: a struct, or a JSON schema
    example: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint."""

    answers: Answers = dataclasses.field(default_factory=lambda: {200: ANY})
    query: type[msgspec.Struct] | None = None
    required: tuple[str, ...] = ()  #: parameters of the query
    body: dict[str, Media] = dataclasses.field(default_factory=dict)
    optional: bool = False  #: there need be no body
    faults: Faults = ()
    headers: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()  #: headers of the answer, if it is a good one
    media_type: str = JSON  #: of the answer
    example: Any = None  #: of the answer


KEY_MADE: Faults = (errors.TwoKeysLive, errors.NoKeysHere)
OWN: Faults = (errors.OwnUser, errors.BeingWorked, *ACTS)
EVENT: Faults = (errors.EventNotFound,)
STRAY: Faults = (errors.StrayNotFound,)
SCHEDULED: Faults = (errors.ScheduleNotFound, *ACTS)

#: Endpoint → what it takes and answers.
OPERATIONS: dict[str, Operation] = {
    "api.take_event": Operation(
        {202: shapes.Accepted, 200: shapes.Event}, shapes.Times, body={JSON: Media(ANY, {"order": 7})}, headers=SENDING,
        sent=("Location", "Preference-Applied"), faults=(*STORES, web.InvalidHeader),
    ),
    "api.show_event": Operation({200: shapes.Event}, faults=(*EVENT, *READS)),
    "api.list_events": Operation({200: shapes.Events}, search.Search, faults=(*READS, errors.SearchTooSlow)),
    "api.list_types": Operation({200: shapes.Types}, faults=READS),
    "envelopes.take_events": Operation(
        {202: (shapes.Accepted, shapes.Many), 207: shapes.Many, 200: shapes.Event}, shapes.TimesOfMany,
        body={
            cloudevents.STRUCTURED: Media({"type": "object"}, CLOUDEVENT),
            cloudevents.BATCH: Media({"type": "array"}, [CLOUDEVENT]),
            ndjson.MEDIA_TYPES[0]: Media(TEXT, LINES),
        },
        headers=("Prefer", "X-Producer"), sent=("Location", "Preference-Applied"),
        faults=(*STORES, web.InvalidHeader, web.InvalidCloudEvent, web.EventTooLarge, web.NoneStored),
    ),
    "explain.explain_event": Operation({200: shapes.Explanation}, faults=(*EVENT, *READS)),
    "overview.show_overview": Operation(
        {200: figured.Overview}, processes.Nothing, faults=(*READS, errors.SearchTooSlow), example=examples.OVERVIEW
    ),
    "processes.list_processes": Operation({200: standing.Processes}, processes.List, faults=READS),
    "processes.list_workers": Operation({200: standing.Processes}, processes.Nothing, faults=READS),
    "processes.list_clocks": Operation(
        {200: standing.Clocks}, processes.Nothing, faults=(*READS, errors.SearchTooSlow)
    ),
    "processes.list_deploys": Operation({200: standing.Deploys}, processes.Deploys, faults=READS),
    "processes.list_queues": Operation({200: standing.Queues}, processes.Nothing, faults=READS),
    "operations.cancel_event": Operation(
        {200: standing.Cancelled, 202: standing.Cancelled}, search.Why,
        faults=(*EVENT, errors.AlreadyEnded, errors.BeingWorked, *ACTS),
    ),
    "operations.cancel_events": Operation(
        {200: standing.CancelledMany}, operations.Cancel, faults=(*ACTS, errors.SearchTooSlow, errors.BeingWorked)
    ),
    "operations.pause_type": Operation({200: standing.Paused}, search.Why, faults=(errors.UnknownEventType, *ACTS)),
    "operations.resume_type": Operation({200: standing.Resumed}, search.Why, faults=(errors.UnknownEventType, *ACTS)),
    "operations.pause_queue": Operation({200: standing.Paused}, search.Why, faults=(errors.QueueNotFound, *ACTS)),
    "operations.resume_queue": Operation({200: standing.Resumed}, search.Why, faults=(errors.QueueNotFound, *ACTS)),
    "operations.list_pauses": Operation({200: standing.Pauses}, faults=ACTS),
    "letters.list_dead": Operation({200: standing.Letters}, letters.List, faults=(*ACTS, errors.SearchTooSlow)),
    "letters.list_groups": Operation(
        {200: figured.Groups}, processes.Nothing, faults=(*READS, errors.SearchTooSlow)
    ),
    "letters.replay_event": Operation(
        {202: standing.Replayed}, search.Why, body={JSON: Media(shapes.Edited, {"payload": {"order": 7}})},
        optional=True, sent=("Location",),
        faults=(*EVENT, errors.NotDead, errors.AlreadyReplayed, errors.UnknownEventType, *BODY, *ACTS),
    ),
    "letters.replay_events": Operation(
        {200: standing.ReplayedMany, 202: standing.ReplayedMany}, letters.Replay, faults=(*ACTS, errors.SearchTooSlow)
    ),
    "letters.discard_event": Operation(
        {200: standing.Discarded}, search.Why,
        faults=(*EVENT, errors.NotDead, errors.AlreadyReplayed, errors.AlreadyDiscarded, errors.BeingWorked, *ACTS),
    ),
    "letters.discard_events": Operation(
        {200: standing.DiscardedMany}, letters.Discard, faults=(*ACTS, errors.SearchTooSlow, errors.BeingWorked)
    ),
    "letters.list_strays": Operation({200: standing.Strays}, letters.Strays, faults=ACTS),
    "letters.show_stray": Operation({200: standing.StrayItself}, faults=(*STRAY, *ACTS)),
    "letters.discard_stray": Operation({204: None}, search.Why, faults=(*STRAY, *ACTS)),
    "schedules.create_schedule": Operation(
        {201: planned.Schedule}, search.Why, body={JSON: Media(shapes.ScheduleDocument, SCHEDULE)},
        sent=("Location", "ETag"),
        faults=(body.NotStrictJson, errors.InvalidSchedule, errors.ScheduleExists, *ACTS),
    ),
    "schedules.list_schedules": Operation({200: planned.Schedules}, schedules.List, faults=READS),
    "schedules.show_schedule": Operation({200: planned.Schedule}, sent=("ETag",), faults=(*SCHEDULED, *READS)),
    "schedules.edit_schedule": Operation(
        {200: planned.Schedule}, search.Why,
        body={JSON: Media({"type": "object"}, {"plan": {"every": "1h"}, "overlap": None})},
        headers=("If-Match",), sent=("ETag",),
        faults=(*SCHEDULED, body.NotStrictJson, errors.InvalidSchedule, errors.ScheduleChanged, errors.DeclaredInCode,
                errors.BeingWorked, web.MatchRequired),
    ),
    "schedules.delete_schedule": Operation(
        {204: None}, search.Why, headers=("If-Match",),
        faults=(*SCHEDULED, errors.ScheduleChanged, errors.DeclaredInCode, errors.BeingWorked),
    ),
    "schedules.pause_schedule": Operation(
        {200: planned.Schedule}, search.Why, sent=("ETag",),
        faults=(*SCHEDULED, errors.ScheduleRetired, errors.BeingWorked),
    ),
    "schedules.resume_schedule": Operation(
        {200: planned.Schedule}, search.Why, sent=("ETag",),
        faults=(*SCHEDULED, errors.ScheduleRetired, errors.BeingWorked),
    ),
    "schedules.run_schedule": Operation(
        {202: planned.Ran}, search.Why, sent=("Location",),
        faults=(*SCHEDULED, errors.ScheduleRetired, errors.BeingWorked),
    ),
    "schedules.backfill_schedule": Operation(
        {200: planned.Backfilled, 202: planned.Backfilled}, schedules.Backfill, required=("since", "until"),
        faults=(*SCHEDULED, errors.ScheduleRetired, errors.InvalidSchedule, errors.BeingWorked),
    ),
    "schedules.list_slots": Operation({200: planned.Slots}, schedules.History, faults=(*SCHEDULED, *READS)),
    "schedules.preview_schedule": Operation(
        {200: planned.Preview}, schedules.Preview, faults=(*SCHEDULED, *READS, errors.InvalidSchedule)
    ),
    "schedules.preview_plan": Operation(
        {200: planned.Preview}, schedules.Preview, body={JSON: Media({"type": "object"}, PLAN)},
        faults=(body.NotStrictJson, errors.InvalidSchedule, *READS),
    ),
    "schedules.show_year": Operation(
        {200: planned.Year}, schedules.Year, required=("year",), faults=(*SCHEDULED, *READS, errors.InvalidSchedule)
    ),
    "access.list_keys": Operation({200: entry.Keys}, keys.Keys, faults=READS),
    "access.create_key": Operation(
        {201: entry.KeyItself}, search.Why, body={JSON: Media(entry.NewKey, KEY)},
        faults=(body.NotStrictJson, errors.InvalidAccess, *KEY_MADE, *ACTS),
    ),
    "access.rotate_key": Operation(
        {201: entry.KeyItself}, keys.Rotate, faults=(errors.KeyNotFound, errors.InvalidAccess, *KEY_MADE, *ACTS)
    ),
    "access.revoke_key": Operation({200: entry.Key}, search.Why, faults=(errors.KeyNotFound, *ACTS)),
    "access.list_audit": Operation({200: entry.Audit}, keys.Audit, faults=READS),
    "access.verify_audit": Operation({200: entry.Verdict}, keys.Verify, faults=(*READS, errors.SearchTooSlow)),
    "users.list_users": Operation({200: entry.Users}, faults=READS),
    "users.add_user": Operation(
        {201: entry.Added}, search.Why, body={JSON: Media(entry.NewUser, USER)},
        faults=(body.NotStrictJson, errors.InvalidAccess, errors.UserExists, errors.BeingWorked, *ACTS),
    ),
    "users.set_password": Operation(
        {204: None}, search.Why, body={JSON: Media(entry.NewPassword, {"password": USER["password"]})},
        faults=(body.NotStrictJson, errors.InvalidAccess, errors.UserNotFound, errors.BeingWorked, *ACTS),
    ),
    "users.set_role": Operation(
        {204: None}, search.Why, body={JSON: Media(entry.NewRole, {"role": "viewer"})},
        faults=(body.NotStrictJson, errors.InvalidAccess, errors.UserNotFound, *OWN),
    ),
    "users.disable_user": Operation({200: entry.Disabled}, search.Why, faults=(errors.UserNotFound, *OWN)),
    "users.enable_user": Operation(
        {200: entry.Disabled}, search.Why, faults=(errors.UserNotFound, errors.BeingWorked, *ACTS)
    ),
    "users.remove_user": Operation({204: None}, search.Why, faults=(errors.UserNotFound, *OWN)),
    "users.list_sessions": Operation({200: entry.Sessions}, faults=READS),
    "users.end_sessions": Operation({200: entry.Ended}, search.Why, faults=(errors.BeingWorked, *ACTS)),
    "health.healthz": Operation({200: shapes.Health}),
    "health.readyz": Operation({200: shapes.Ready}, faults=(errors.NotAccepted,)),
    "openapi.show_document": Operation({200: {"type": "object"}}),
    "openapi.show_page": Operation({200: TEXT}, media_type="text/html"),
    "openapi.show_style": Operation({200: TEXT}, media_type="text/css"),
}  # fmt: skip

"""The query of a page: read by the rules of the API, and written again for the links on the page."""

from __future__ import annotations

import datetime
import urllib.parse
from typing import Any

import flask
from werkzeug import datastructures

from service.web import search
from service.web.console import words

#: What a form offers for a time → its length; "" is any time.
WITHIN = {
    "hour": ("the last hour", datetime.timedelta(hours=1)),
    "day": ("the last 24 hours", datetime.timedelta(days=1)),
    "week": ("the last 7 days", datetime.timedelta(days=7)),
}


def given(*own: str) -> datastructures.MultiDict[str, str]:
    """The parameters that are not empty, without those of the page's own."""
    return datastructures.MultiDict(
        (name, value.strip())
        for name, value in flask.request.args.items(multi=True)
        if value.strip() and name not in own
    )


def read(wanted: type[search.Query], args: datastructures.MultiDict[str, str]) -> search.Query:
    """What is asked for; raises InvalidParameter."""
    return search.read(args, wanted)


def within() -> datetime.datetime | None:
    """The instant since when, if the form named one of the usual lengths of time."""
    length = WITHIN.get(flask.request.args.get("within", ""))
    return None if length is None else words.now() - length[1]


def link(**changes: Any) -> str:
    """This page with other parameters; None takes one away."""
    kept = {name: value for name, value in given().items() if name not in changes}
    kept |= {name: str(value) for name, value in changes.items() if value is not None}
    return f"{flask.request.path}?{urllib.parse.urlencode(kept)}" if kept else flask.request.path


def string(args: datastructures.MultiDict[str, str]) -> str:
    """Parameters as they stand after the question mark."""
    return urllib.parse.urlencode(list(args.items(multi=True)))

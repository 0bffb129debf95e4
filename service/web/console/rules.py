"""The policies of a schedule in words: as the form offers them, and as its page tells them."""

from __future__ import annotations

from typing import Any

from service import plans
from service.domain import errors
from service.web.console import words

#: Policy → its choices, each with what it means.
CHOICES: dict[str, dict[str, str]] = {
    "missing": {"shift": "right after the gap", "skip": "not on that day"},
    "doubled": {"first": "the first time", "last": "the second time", "both": "both times"},
    "misfire": {"skip": "fire the latest", "last": "fire the latest", "all": "fire each, the oldest first"},
    "overlap": {
        "allow": "fire beside it",
        "skip": "skip the instant",
        "queue_one": "hold one until it ends",
        "cancel_running": "cancel it",
    },
}


def said(policy: str, choice: str) -> str:
    """A choice with what it means."""
    about = CHOICES[policy].get(choice)  # A newer version of the code may know more of them.
    return choice if about is None else f"{choice.replace('_', ' ')}: {about}"


def options(policy: str) -> list[tuple[str, str]]:
    """The choices of a policy, as a form wants them: (value, words)."""
    return [(choice, said(policy, choice)) for choice in CHOICES[policy]]


def told(one: dict[str, Any]) -> list[tuple[str, str]]:
    """What a schedule's rules are: (name, what it says)."""
    window = one["misfire_window"]
    late = "however late" if window is None else f"up to {words.span(window)} late"
    found = [
        *_at_changes(one["plan"]),
        ("Misfire", f"{said('misfire', one['misfire'])}, {late}"),
        ("Overlap", said("overlap", one["overlap"])),
        ("Jitter", words.span(one["jitter"]) if one["jitter"] else "none"),
        ("Tick expires", f"after {words.span(one['expires_after'])} unworked" if one["expires_after"] else "never"),
    ]
    for name, label in (("starts_at", "Starts"), ("ends_at", "Ends")):
        if one[name]:
            found.append((label, words.clock(one[name])))
    if one["max_runs"]:
        found.append(("Runs", f"{one['runs']:,} of {one['max_runs']:,}"))
    return found


def _at_changes(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """What becomes of the local times that a change of clocks leaves out, or brings twice."""
    try:
        plan = plans.read(spec)
    except errors.DeclarationError:
        return []
    if not isinstance(plan, plans.Cron):
        return []
    missing, doubled = plan.policies()
    return [("Missing time", said("missing", missing)), ("Doubled time", said("doubled", doubled))]

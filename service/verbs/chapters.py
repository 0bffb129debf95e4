"""The command line's table of contents: its verbs by what they are for."""

from __future__ import annotations

import click

#: Chapter → its verbs, in the order of their help. Each verb stands in one of them.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "Run it": ("up", "stack", "monitor", "web"),
    "Events": ("send", "events", "cancel", "dead", "replay", "strays"),
    "Types, queues and schedules": ("types", "queues", "pause", "resume", "pauses", "schedules"),
    "Is it well?": ("status", "doctor", "workers", "clocks", "processes", "deploys", "rebuild"),
    "Who may, and who did": ("keys", "users", "audit"),
    "Deploy": ("migrate", "check-deploy", "topology", "grants", "retention", "objectives"),
    "For other programs": ("openapi", "completion"),
}


class Contents(click.Group):
    """A group whose help lists its commands by chapters."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the chapters, their columns in one line."""
        longest = max(map(len, self.commands))
        room = formatter.width - longest - 6
        for chapter, verbs in CHAPTERS.items():
            with formatter.section(chapter):
                formatter.write_dl(
                    [(verb.ljust(longest), self.commands[verb].get_short_help_str(room)) for verb in verbs]
                )

"""What a contestant is: commands and settings that may name what a round fills in.

``{port}``, ``{database_url}``, ``{broker_url}``, ``{root}`` (the repository), ``{web}`` (web processes) and
``{children}`` (processes or coroutines of each worker).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Command = tuple[str, ...]


@dataclass(frozen=True)
class Scale:
    """How many processes a contestant is given; 0 is what its own author advises."""

    web: int = 0
    #: Worker commands that run side by side.
    workers: int = 1
    #: Processes of each worker.
    children: int = 0

    def __str__(self) -> str:
        return f"web {self.web or 'default'}, workers {self.workers}, children {self.children or 'default'}"


@dataclass(frozen=True)
class Contestant:
    """One system under measurement."""

    #: How it is named on the command line and in every table.
    name: str
    #: One line that says what it is.
    title: str
    #: Where an order is posted; with several types, ``.t<number>`` follows.
    path: str
    #: The web server; it listens on ``{port}``.
    web: Command
    #: The worker; as many of it run as the scale says.
    worker: Command
    #: Environment variables of all its processes.
    settings: Mapping[str, str]
    #: Its own numbers of processes, where a scale names none.
    scale: Scale
    #: Every other process, like Millrace's clock. Their CPU counts as the worker's.
    beside: tuple[Command, ...] = ()
    #: Commands that run once before the processes start.
    prepare: tuple[Command, ...] = ()
    #: Where many orders are posted at once, and in which form; the path of one where it is empty.
    batch_path: str = ""
    form: Literal["array", "lines"] = "array"
    #: The type that each line of many names.
    event_type: str = ""
    #: The most types that it knows.
    types: int = 1
    #: A peer runs from the peers' virtual environment, Millrace from the one of this process.
    peer: bool = False
    #: Packages whose versions belong to a measurement.
    packages: tuple[str, ...] = field(default=())

    def scaled(self, scale: Scale) -> Scale:
        """The scale with this contestant's own numbers where it names none."""
        return Scale(scale.web or self.scale.web, scale.workers, scale.children or self.scale.children)

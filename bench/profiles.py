"""The named measurements: who is measured under which shapes of load, with how many processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import shapes
from bench.contestant import Scale
from bench.errors import BenchError
from bench.shapes import Shape


@dataclass(frozen=True)
class Leg:
    """Shapes of load that a contestant meets one after another in one life of its processes."""

    shapes: Sequence[Shape]
    scale: Scale = dataclasses.field(default_factory=Scale)


@dataclass(frozen=True)
class Profile:
    """A named measurement."""

    name: str
    #: The heading of its part of the page.
    title: str
    contestants: Sequence[str]
    legs: Sequence[Leg]
    rounds: int
    #: About what it costs on 2 cores, minutes.
    minutes: float

    @property
    def sections(self) -> list[tuple[Scale, Shape]]:
        """Everything that gives a table, in order."""
        return [(leg.scale, shape) for leg in self.legs for shape in leg.shapes]

    def lasting(self, seconds: float) -> Profile:
        """The same with other seconds for every shape."""
        legs = [
            dataclasses.replace(leg, shapes=[dataclasses.replace(shape, seconds=seconds) for shape in leg.shapes])
            for leg in self.legs
        ]
        return dataclasses.replace(self, legs=legs)


#: Millrace beside the peer that most of us run and the fastest one.
_THREE = ("millrace", "p2t", "p4")

FULL = Profile(
    "full",
    "Millrace and its peers",
    ("millrace", "millrace-ordinary", "p1", "p2t", "p3", "p4"),
    [Leg([shapes.single(3), shapes.paced(4), shapes.batch(2.5)])],
    rounds=3,
    minutes=11,
)

QUICK = Profile(
    "quick",
    "A quick look",
    ("millrace", "millrace-ordinary", "p2t", "p4"),
    [Leg([shapes.single(1.5)])],
    rounds=2,
    minutes=1.7,
)

CONNECTIONS = Profile(
    "connections",
    "1 to 512 connections",
    _THREE,
    [
        Leg(
            [
                Shape(f"connections-{number}", f"{number} connection{'s'[: number > 1]}", 2, connections=number)
                for number in (1, 8, 32, 128, 512)
            ]
        )
    ],
    rounds=3,
    minutes=5,
)

SIZES = Profile(
    "sizes",
    "Bodies of 256 B, 1 KB and 16 KB",
    _THREE,
    [Leg([Shape(f"size-{size}", f"Orders of {size:,} bytes", 2, size=size) for size in (256, 1024, 16 * 1024)])],
    rounds=3,
    minutes=4,
)

WEB = Profile(
    "web",
    "1, 2 and 4 web processes",
    _THREE,
    [Leg([Shape(f"web-{web}", f"{web} web process{'es' * (web > 1)}", 2)], Scale(web=web)) for web in (1, 2, 4)],
    rounds=3,
    minutes=6,
)

TYPES = Profile(
    "types",
    "1 and 20 types at once",
    ("millrace", "millrace-ordinary"),
    [
        Leg(
            [
                Shape(f"types-{types}{suffix}", f"{types} type{'s' * (types > 1)}, {text}", 2, types=types, batch=size)
                for size, suffix, text in ((1, "", "one order per request"), (100, "-batch", "100 orders per request"))
                for types in (1, 20)
            ]
        )
    ],
    rounds=3,
    minutes=3,
)

COST = Profile(
    "cost",
    "How cost grows",
    ("millrace",),
    [
        *(
            Leg(
                [Shape(f"workers-{number}", f"{number} worker{'s' * (number > 1)} of one process", 3, batch=100)],
                Scale(web=1, workers=number, children=1),
            )
            for number in (1, 2, 4)
        ),
        *(
            Leg(
                [Shape(f"webs-{number}", f"{number} web process{'es' * (number > 1)}", 3, connections=64)],
                Scale(web=number, workers=1, children=2),
            )
            for number in (1, 2, 4)
        ),
    ],
    rounds=5,
    minutes=8,
)

ALL = {profile.name: profile for profile in (FULL, QUICK, CONNECTIONS, SIZES, WEB, TYPES, COST)}


def named(name: str) -> Profile:
    """The profile of that name."""
    if name not in ALL:
        raise BenchError(f"no profile is named {name}; known are {', '.join(ALL)}")
    return ALL[name]


def only(profile: Profile, names: Iterable[str]) -> Profile:
    """The profile with these contestants."""
    return dataclasses.replace(profile, contestants=tuple(names))

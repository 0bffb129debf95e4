"""A year of a plan as a picture (SVG): a column for each week, a square for each day, the darker the more instants.

It is drawn in the colour of the text around it, so it fits a light and a dark page. Nothing is said by shade alone:
each day has its number in a title, days on which clocks change have a ring, and the whole is told in words, too.
"""

from __future__ import annotations

import html
import math

from service.plans.preview import Day, Year
from service.plans.words import MONTH_NAMES

CELL, GAP = 12, 2  #: pixels of a day, and between days
LEFT, TOP = 34, 20  #: pixels for the names of days and months
SHADES = (0.25, 0.4, 0.55, 0.7, 0.85)  #: opacity, for few to many instants
EMPTY = 0.3  #: opacity of the outline of a day without any
WEEKDAYS = ((0, "Mon"), (2, "Wed"), (4, "Fri"))


def draw(found: Year, ident: str = "year") -> str:
    """The picture, as an ``svg`` element to stand in a page. ``ident``: prefix of its ids, unique in the page."""
    first = found.days[0].date.weekday()
    columns = (first + len(found.days) - 1) // 7 + 1
    width, height = LEFT + columns * (CELL + GAP), TOP + 7 * (CELL + GAP) + 26
    most = max(day.count for day in found.days)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-labelledby="{ident}-title {ident}-desc" fill="currentColor" font-family="inherit"'
        ' font-size="10">',
        f'<title id="{ident}-title">{html.escape(f"{found.year}: {found.plan}")}</title>',
        f'<desc id="{ident}-desc">{html.escape(tell(found))}</desc>',
        *(f'<text x="0" y="{_y(row) + CELL - 2}">{name}</text>' for row, name in WEEKDAYS),
    ]
    for number, day in enumerate(found.days):
        column, row = divmod(first + number, 7)
        if day.date.day == 1:
            # A month's name stands over its first whole week.
            start = column + (1 if row else 0)
            parts.append(f'<text x="{_x(start)}" y="{TOP - 8}">{MONTH_NAMES[day.date.month - 1][:3]}</text>')
        parts.append(_cell(day, _x(column), _y(row), most))
    parts.append(_legend(most, height - 14))
    return "\n".join([*parts, "</svg>"])


def tell(found: Year) -> str:
    """The picture in words."""
    days = sum(1 for day in found.days if day.count)
    changes = [f"{day.date:%-d %B}: {day.change}" for day in found.days if day.change]
    text = f"{_many(found.total, 'run')} on {_many(days, 'day')} of {found.year}, by the clocks of {found.tz}."
    return f"{text} {'; '.join(changes)}." if changes else text


def _cell(day: Day, x: int, y: int, most: int) -> str:
    about = f"{day.date:%A %-d %B}: {_many(day.count, 'run')}" + (f"; {day.change}" if day.change else "")
    shade = f'fill-opacity="{_shade(day.count, most)}"' if day.count else f'fill="none" {_line(EMPTY)}'
    if not day.change:
        return f"<g><title>{html.escape(about)}</title>{_square(x, y, CELL, shade)}</g>"
    inside = _square(x + 3, y + 3, CELL - 6, shade)  # So that the ring is seen around a dark square, too.
    return f"<g><title>{html.escape(about)}</title>{inside}{_ring(x + CELL / 2, y + CELL / 2)}</g>"


def _shade(count: int, most: int) -> float:
    """By the logarithm: from one run a day to thousands there is a shade for each step."""
    if most <= 1:
        return SHADES[-1]
    return SHADES[round(math.log(count) / math.log(most) * (len(SHADES) - 1))]


def _legend(most: int, y: int) -> str:
    parts, x = [], LEFT
    for about in (
        f'fill="none" {_line(EMPTY)}',
        *(f'fill-opacity="{shade}"' for shade in SHADES if _used(shade, most)),
    ):
        parts.append(_square(x, y, CELL, about))
        x += CELL + GAP
    parts.append(f'<text x="{x + 4}" y="{y + CELL - 2}">none to {most:,} a day</text>')
    x += 140
    parts.append(_ring(x, y + CELL / 2))
    parts.append(f'<text x="{x + 12}" y="{y + CELL - 2}">clocks change</text>')
    return f'<g aria-hidden="true">{"".join(parts)}</g>'


def _used(shade: float, most: int) -> bool:
    return most > len(SHADES) or shade in {_shade(count, most) for count in range(1, most + 1)}


def _square(x: float, y: float, size: float, about: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}" rx="2" {about}/>'


def _ring(x: float, y: float) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{CELL / 2:g}" fill="none" {_line(1)} stroke-width="1.5"/>'


def _line(opacity: float) -> str:
    return f'stroke="currentColor" stroke-opacity="{opacity}"'


def _x(column: int) -> int:
    return LEFT + column * (CELL + GAP)


def _y(row: int) -> int:
    return TOP + row * (CELL + GAP)


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"

"""JSON for people: indented, its parts told apart by class."""

from __future__ import annotations

import json
import re
from typing import Any

import markupsafe

LONGEST = 100_000  #: characters that are shown
TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|\b(true|false|null)\b')


def shown(value: Any) -> markupsafe.Markup:
    """A document as it stands in a ``pre`` element."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    cut = len(text) > LONGEST
    found, at = [], 0
    for token in TOKEN.finditer(text, 0, min(len(text), LONGEST)):
        string, colon, number, word = token.groups()
        found.append(markupsafe.escape(text[at : token.start()]))
        css = "k" if colon else "s" if string else "n" if number else "b"
        found.append(
            markupsafe.Markup('<span class="{}">{}</span>{}').format(css, string or number or word, colon or "")
        )
        at = token.end()
    found.append(markupsafe.escape(text[at : LONGEST if cut else len(text)]))
    return markupsafe.Markup("").join(found) + ("\n… (more)" if cut else "")

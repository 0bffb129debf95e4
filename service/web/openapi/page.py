"""The document as a page: what its template needs, in the order in which it is read."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import markupsafe
import msgspec

FOLDER = pathlib.Path(__file__).parent

#: Tag of the document → its heading, in the order of the page; others follow by name.
HEADINGS = {
    "types": "Post an event, by type",
    "api": "Events and types",
    "envelopes": "CloudEvents, and many events at once",
    "explain": "Why an event waits",
    "operations": "Cancel and pause",
    "letters": "Dead letters and strays",
    "schedules": "Schedules",
    "processes": "Processes and queues",
    "health": "Health",
    "openapi": "This document",
}


def parts(document: dict[str, Any]) -> dict[str, Any]:
    """What the template is given."""
    found = list(_operations(document["paths"]))
    tags = {operation["tag"] for operation in found}
    order = [*(tag for tag in HEADINGS if tag in tags), *sorted(tags - HEADINGS.keys())]
    sections = [
        {"id": tag, "heading": HEADINGS.get(tag, tag.capitalize()), "operations": [o for o in found if o["tag"] == tag]}
        for tag in order
    ]
    schemas = [{"name": name, "text": _pretty(s)} for name, s in sorted(document["components"]["schemas"].items())]
    return {"marked": marked, "info": document["info"], "sections": sections, "schemas": schemas}


def _operations(paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, item in paths.items():
        for method, operation in item.items():
            yield {
                "tag": operation["tags"][0],
                "id": operation["operationId"],
                "method": method.upper(),
                "path": path,
                "summary": operation["summary"],
                "description": operation.get("description", ""),
                "permission": operation.get("x-permission", ""),
                "parameters": [_parameter(p) for p in operation.get("parameters", ())],
                "bodies": list(_contents(operation.get("requestBody", {}).get("content", {}))),
                "responses": [
                    {"status": status, "text": answer["description"], "shapes": _contents(answer.get("content", {}))}
                    for status, answer in operation["responses"].items()
                ],
            }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter["schema"]
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "required": parameter["required"],
        "text": parameter["description"],
        "default": _pretty(schema["default"]) if "default" in schema else "",
    }


def _contents(content: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for media_type, part in content.items():
        schema, example = part.get("schema", {}), part.get("example")
        name = schema.get("$ref", "").rpartition("/")[2]
        yield {
            "media_type": media_type,
            "name": name,
            "text": "" if name or not schema else _pretty(schema),
            "example": "" if example is None else example if isinstance(example, str) else _pretty(example),
        }


def marked(text: str) -> markupsafe.Markup:
    """A description, what stands between backticks as code."""
    parts = [markupsafe.escape(part) for part in text.split("`")]
    return markupsafe.Markup("").join(
        markupsafe.Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts)
    )


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

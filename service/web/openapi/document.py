"""The OpenAPI document of an application: https://spec.openapis.org/oas/v3.1.1.html."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import flask
import msgspec
from werkzeug import routing

import service
from service.domain import errors, handlers
from service.domain.access import Permission
from service.web import access, search
from service.web import errors as web
from service.web.openapi import shapes
from service.web.openapi.operations import HEADERS, JSON, OPERATIONS, SENT, Media, Operation

REF = "#/components/schemas/{name}"
ARGUMENT = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Pages for people, which have no document. The API is what the console is made of.
LEFT_OUT = ("/console",)
POST = "/v1/events/{}"  #: where the path of a type, and that of an event, are the same but for the name of what varies
#: What any request may meet: status → what it says.
ALWAYS = {500: "Something went wrong here."}
WITH_BODY = {
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is of another media type, or compressed.",
}
#: What a request may meet that must say who asks.
GUARDED = (
    errors.NotSignedIn,
    errors.BadCredential,
    errors.NotPermitted,
    errors.TooManyRequests,
    errors.IssuerUnavailable,
)


def build(app: flask.Flask, registry: Iterable[handlers.Handler]) -> dict[str, Any]:
    """The document, for the routes of ``app`` and the types of ``registry``."""
    rules = [rule for rule in app.url_map.iter_rules() if not rule.rule.startswith(LEFT_OUT)]
    schemas = _Schemas(OPERATIONS.get(rule.endpoint, Operation()) for rule in rules)
    paths: dict[str, dict[str, Any]] = {}
    named: dict[str, list[str]] = {}
    for rule in sorted(rules, key=lambda rule: rule.rule):
        # Two paths that differ in the names of what varies alone are one (section 4.8.8.2).
        names = named.setdefault(ARGUMENT.sub("{}", rule.rule), ARGUMENT.findall(rule.rule))
        path = ARGUMENT.sub("{}", rule.rule).format(*(f"{{{name}}}" for name in names))
        for method in sorted(rule.methods or ()):
            if method in METHODS:
                paths.setdefault(path, {})[method.lower()] = _operation(app, rule, names, schemas)
    for handler in registry:
        paths[POST.format(handler.type)] = {
            "post": _of_type(handler, paths[POST.format("{event_id}")]["post"], schemas)
        }
    return {
        "openapi": "3.1.1",
        "info": {"title": "Millrace", "version": service.__version__, "description": _described(service)},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "tags": [{"name": name} for name in sorted({o["tags"][0] for p in paths.values() for o in p.values()})],
    }


class _Schemas:
    """The schemas of all shapes and parameters, made at once, so that each is written once."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        found: list[Any] = [shapes.Problem]
        for one in operations:
            found += [shape for answer in one.answers.values() for shape in _each(answer) if not _is_schema(shape)]
            found += [media.shape for media in one.body.values() if not _is_schema(media.shape)]
            found += parameters(one.query).values() if one.query else ()
        schemas, self.components = msgspec.json.schema_components(found, ref_template=REF)
        self._schemas = {repr(shape): schema for shape, schema in zip(found, schemas, strict=True)}

    def of(self, shape: Any) -> Mapping[str, Any]:
        """The schema of a shape, or of one of several; or the schema itself."""
        if isinstance(shape, tuple):
            return {"anyOf": [self.of(one) for one in shape]}
        return typing.cast("Mapping[str, Any]", shape) if _is_schema(shape) else self._schemas[repr(shape)]


def parameters(query: type[msgspec.Struct]) -> dict[str, Any]:
    """The parameters of a query with their types, without the null that says that one is not given."""
    hints = typing.get_type_hints(query, include_extras=True)
    return {field.name: _given(hints[field.name]) for field in msgspec.structs.fields(query)}


def _given(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
    return hint


def _each(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _is_schema(shape: Any) -> bool:
    return shape is None or isinstance(shape, dict)


def _operation(app: flask.Flask, rule: routing.Rule, names: list[str], schemas: _Schemas) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    one = OPERATIONS.get(rule.endpoint, Operation())
    # What is code stands between single backticks in Markdown, which descriptions are written in.
    summary, _, rest = (view.__doc__ or rule.endpoint).replace("``", "`").strip().partition("\n")
    tag = rule.endpoint.rpartition(".")[0]
    found: dict[str, Any] = {
        "operationId": rule.endpoint,
        "summary": summary,
        "tags": [tag or "app"],
        "parameters": [*_in_path(rule, names), *_in_query(one, schemas), *_in_headers(one)],
        "responses": _responses(one, _statuses(one, access.needed(view)), schemas),
    }
    if rest.strip():
        found["description"] = " ".join(rest.split())
    if one.body:
        content = {media_type: _content(media, schemas) for media_type, media in one.body.items()}
        found["requestBody"] = {"content": content, "required": not one.optional}
    permission = access.needed(view)
    if permission not in (None, Permission.ASK):
        found |= {"security": [{"bearer": []}, {}], "x-permission": permission.value}
    return {key: value for key, value in found.items() if value != []}


def _of_type(handler: handlers.Handler, general: dict[str, Any], schemas: _Schemas) -> dict[str, Any]:
    """The post of one type, with the schema of its payload."""
    schema = _payload(handler, schemas.components)
    content = {JSON: {"schema": schema}}
    return general | {
        "operationId": f"{general['operationId']}.{handler.type}",
        "summary": handler.doc.split("\n")[0] or f"Take an event of the type {handler.type}.",
        "tags": ["types"],
        "parameters": [p for p in general["parameters"] if p["in"] != "path"],
        "requestBody": {"content": content, "required": True},
    }


def _payload(handler: handlers.Handler, components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a payload; any JSON where there is no model, or none that can be described."""
    if handler.payload is None:
        return {}
    import pydantic  # Slow to import.

    template = REF.format(name=f"payload.{handler.type}.") + "{model}"
    try:
        schema = pydantic.TypeAdapter(handler.payload).json_schema(ref_template=template)
    except pydantic.errors.PydanticInvalidForJsonSchema:
        return {}
    for name, part in schema.pop("$defs", {}).items():
        components[f"payload.{handler.type}.{name}"] = part
    components[f"payload.{handler.type}"] = schema
    return {"$ref": REF.format(name=f"payload.{handler.type}")}


def _in_path(rule: routing.Rule, names: list[str]) -> list[dict[str, Any]]:
    both = ARGUMENT.sub("{}", rule.rule) == POST
    said = {"event_id": "The event's id; to post one, its type." if both else "The event's id.", "stray_id": "Its id."}
    return [
        {
            "name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
            "description": said.get(name, "Its name."),
        }
        for name in names
    ]  # fmt: skip


def _in_query(one: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    told = search.EXPECTED | getattr(one.query, "EXPECTED", {})
    defaults = {field.name: field.default for field in msgspec.structs.fields(one.query)}
    found = []
    for name, hint in parameters(one.query).items():
        schema = dict(schemas.of(hint))
        if isinstance(defaults[name], bool | int | float):
            schema["default"] = defaults[name]
        required = name in one.required
        found.append({"name": name, "in": "query", "required": required, "schema": schema, "description": told[name]})
    return found


def _in_headers(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": HEADERS[name]}
        for name in one.headers
    ]


def _content(media: Any, schemas: _Schemas) -> dict[str, Any]:
    found = {"schema": schemas.of(media.shape)}
    return found if media.example is None else found | {"example": media.example}


def _statuses(one: Operation, permission: Permission | None) -> dict[int, set[str]]:
    """Status → what may have gone wrong, in the words of the problems' titles."""
    found: dict[int, set[str]] = {status: {said} for status, said in ALWAYS.items()}
    guarded = () if permission in (None, Permission.ASK) else GUARDED
    faults = {*one.faults, *guarded, *((web.InvalidParameter,) if one.query else ())}
    for fault in faults:
        title = (fault.__doc__ or "").split("\n")[0].rstrip(".")
        slug = web.slug(fault)
        found.setdefault(web.STATUS[fault], set()).add(f"`/problems/{slug}`: {title}.")
    for status, said in WITH_BODY.items() if one.body else ():
        found.setdefault(status, set()).add(said)
    if errors.LedgerUnavailable in faults:
        found[503].add(f"`/problems/{web.slug(errors.SchemaNotReady)}`: the ledger is not migrated.")
    return found


def _responses(one: Operation, statuses: Mapping[int, set[str]], schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, shape in one.answers.items():
        found[str(status)] = {"description": HTTPStatus(status).phrase, "headers": _headers(*one.sent)}
        if shape is not None:
            found[str(status)]["content"] = {one.media_type: _content(Media(shape, one.example), schemas)}
    problem = {web.MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}}
    for status, said in statuses.items():
        later = ("Retry-After",) if status in (429, 503) else ()
        found[str(status)] = {
            "description": " ".join(sorted(said)), "headers": _headers(*later), "content": problem,
        }  # fmt: skip
    return dict(sorted(found.items()))


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"description": SENT[name], "schema": {"type": "string"}} for name in (*names, "X-Request-Id")}


def _described(module: Any) -> str:
    return str(module.__doc__).partition(": ")[2]

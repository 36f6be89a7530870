"""The OpenAPI document, from the table of routes and the types of their bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from beowulf.api.bodies import adapter
from beowulf.api.faults import STATUS
from beowulf.api.routes import JSON, Route

_SCHEMAS = "#/components/schemas/"


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "beowulf", "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    named = [(name, "path") for name in re.findall(r"{(\w+)}", route.path)]
    named += [(name, "query") for name in route.query]
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
            for name, place in named
        ],
        "responses": _responses(route),
    }
    if route.body is not None:
        schema = adapter(route.body).json_schema(ref_template=_SCHEMAS + "{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[route.body.__name__] = schema
        reference = {"$ref": _SCHEMAS + route.body.__name__}
        operation["requestBody"] = {"required": True, "content": {route.takes: {"schema": reference}}}
    elif route.takes != JSON:
        operation["requestBody"] = {"required": True, "content": {route.takes: {"schema": {"format": "binary"}}}}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    refused = {"application/json": {"schema": {"$ref": _SCHEMAS + "Error"}}}
    answers: dict[str, Any] = {"2XX": {"description": "Done", "content": {route.media_type: {}}}}
    for kind, status in STATUS:
        answers[str(status)] = {"description": kind.__name__, "content": refused}
    return answers


_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {"code": _TEXT, "message": _TEXT, "hint": _TEXT},
        }
    },
}

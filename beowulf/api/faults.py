"""Errors of the tree ↔ HTTP: ``{"error": {"code", "message", "hint"}}``."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from beowulf.model.errors import BadInput, BeowulfError, Forbidden, NotFound, Refused, Unreachable

# The first that fits: subclasses stand before what they are made from.
STATUS: tuple[tuple[type[BeowulfError], int], ...] = (
    (BadInput, 400),
    (Forbidden, 403),
    (NotFound, 404),
    (Refused, 409),
    (Unreachable, 503),
    (BeowulfError, 500),
)


def status_of(error: BeowulfError) -> tuple[int, str]:
    """HTTP's status, and the name of the class of the tree the client raises again."""
    return next((status, kind.__name__) for kind, status in STATUS if isinstance(error, kind))


def error_body(code: str, message: str, hint: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "hint": hint}}


def from_validation(error: ValidationError) -> BadInput:
    """The first complaint, with its place: ``spec.min_nodes: Input should be a valid integer``."""
    first = error.errors(include_url=False)[0]
    return BadInput(str(first["msg"]), where=".".join(str(part) for part in first["loc"]) or "body")

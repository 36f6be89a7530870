"""Paths, queries and answers of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


def plain(value: Any) -> Any:
    """Frozen values as the dicts JSON takes; what is a dict already stays one."""
    if isinstance(value, Mapping):
        return value
    from dataclasses import asdict  # who has a dataclass has paid for this import

    return asdict(value)


def listed(answer: Mapping[str, Any], name: str) -> list[Any]:
    found: list[Any] = answer[name]
    return found


def count(number: int | None) -> str | None:
    return None if number is None else str(number)  # 0 is a number too, and means none


def job_path(job_id: str) -> str:
    return f"/v1/jobs/{quoted(job_id)}"


def node_path(name: str) -> str:
    return f"/v1/nodes/{quoted(name)}"


def quoted(text: str) -> str:
    return quote(text, safe="") or "-"

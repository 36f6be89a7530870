"""`NodeEntry` values → an inventory file that gives them again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from beowulf.specs.inventory import NodeEntry


def inventory_text(entries: Iterable[NodeEntry], *, heading: str) -> str:
    """YAML, machine by machine; what is as by default is left out. ``heading``: the comment on top."""
    lines = [f"# {line}" for line in heading.splitlines()] + ["nodes:"]
    for entry in entries:
        lines.append(f"  {_scalar(entry.name)}:")
        lines += [f"    {key}: {_scalar(value)}" for key, value in _fields(entry)]
    return "\n".join(lines) + "\n"


def _fields(entry: NodeEntry) -> Iterator[tuple[str, Any]]:
    if entry.endpoint.local:
        yield "local", True
    else:
        yield "host", entry.endpoint.host
    settings = (
        *(() if entry.endpoint.local else _way(entry)),
        ("groups", list(entry.groups), []),
        ("tags", dict(entry.tags), {}),
        ("site", entry.site, "lab"),
        ("max_cpus", entry.max_cpus, 0),
        ("max_memory", f"{entry.max_memory_mib}MB", "0MB"),
        ("share_gpus", entry.share_gpus, 1),
        ("share_between_users", entry.share_between_users, False),
    )
    yield from ((key, value) for key, value, usual in settings if value != usual)


def _way(entry: NodeEntry) -> tuple[tuple[str, Any, Any], ...]:
    end = entry.endpoint
    return (
        ("port", end.port, 22),
        ("user", end.user, ""),
        ("proxy_jump", end.proxy_jump, ""),
        ("identity_file", end.identity_file, ""),
        ("host_key", entry.host_key, ""),
    )


def _scalar(value: Any) -> str:
    """JSON is YAML; texts are quoted, so that none is taken for a number or a date."""
    return json.dumps(value, ensure_ascii=False)

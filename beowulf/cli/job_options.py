"""Options that stand for keys of the job file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from beowulf.cli import completing


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Every option that stands for a key of the job file; they arrive as ``overrides``."""
    from beowulf.specs.job_options import OPTIONS, meaning_of

    known: dict[str, Any] = {
        "--project": completing.of_jobs("project"),
        "--queue": completing.of_jobs("queue"),
        "--name": completing.of_jobs("name"),
        "--nodelist": completing.nodes,
        "--exclude": completing.nodes,
    }

    def keep(context: click.Context, option: click.Parameter, value: Any) -> None:
        values = value if isinstance(value, tuple) else (value,)
        given = context.meta.setdefault(OVERRIDES, [])
        given += [(option.opts[0], text) for text in values if text is not None]

    for name in reversed(list(OPTIONS)):
        function = click.option(
            name,
            multiple=name == "--env",
            metavar="NAME=VALUE" if name == "--env" else None,
            expose_value=False,
            callback=keep,
            shell_complete=known.get(name),
            help=meaning_of(name),
        )(function)
    return function


OVERRIDES = "beowulf.overrides"


def overrides() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = click.get_current_context().meta.get(OVERRIDES, [])
    return found

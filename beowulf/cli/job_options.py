"""Options that stand for keys of the job file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Every option that stands for a key of the job file; they arrive as ``overrides``."""
    from beowulf.specs.job_keys import OPTIONS

    def keep(context: click.Context, option: click.Parameter, value: Any) -> None:
        values = value if isinstance(value, tuple) else (value,)
        given = context.meta.setdefault(OVERRIDES, [])
        given += [(option.opts[0], text) for text in values if text is not None]

    for name, path in reversed(list(OPTIONS.items())):
        function = click.option(
            name,
            multiple=name == "--env",
            metavar="NAME=VALUE" if name == "--env" else None,
            expose_value=False,
            callback=keep,
            help=f"The job file's {'.'.join(path)}.",
        )(function)
    return function


OVERRIDES = "beowulf.overrides"


def overrides() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = click.get_current_context().meta.get(OVERRIDES, [])
    return found

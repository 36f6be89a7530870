"""What the settings file says of one cloud, checked: options are words, and a misspelt one must not pass in silence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from beowulf.model.errors import BadInput
from beowulf.model.renting import Cloud


def check_options(
    cloud: Cloud, known: Sequence[str], needed: Sequence[str] = (), families: tuple[str, ...] = ()
) -> None:
    """Raises BadInput for an option that is not known or one that is missing. ``families``: how names may begin."""
    for name in cloud.options:
        if name not in known and not name.startswith(families):
            raise BadInput(f"option {name!r} is not known ({', '.join(known)})", where=f"cloud {cloud.name}")
    for name in needed:
        if not cloud.options.get(name):
            raise BadInput(f"option {name!r} is missing", where=f"cloud {cloud.name}")


def number(cloud: Cloud, name: str, default: float) -> float:
    """The option as a positive number. Raises BadInput."""
    text = cloud.options.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{name} is {text!r}, which is no positive number", where=f"cloud {cloud.name}")
    return value

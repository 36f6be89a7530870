"""Filters and pages, which all of EC2's lists have alike."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from emulator.aws_wire import AwsError
from emulator.world import World

T = TypeVar("T")


def passes(tags: Mapping[str, str], plain: Mapping[str, list[str]], given: Mapping[str, Any]) -> bool:
    """Every filter that was given; ``plain``: those that are not of tags, with what this row has of them."""
    return all(_passes(tags, plain, one["Name"], one.get("Value", [])) for one in given.get("Filter", []))


def _passes(tags: Mapping[str, str], plain: Mapping[str, list[str]], name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        have = [tags[name[4:]]] if name[4:] in tags else []
    elif name in plain:
        have = plain[name]
    else:
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return any(fnmatch.fnmatchcase(value, pattern) for value in have for pattern in values)


def page(world: World, given: Mapping[str, Any], found: Sequence[T]) -> tuple[Sequence[T], str | None]:
    """The rows of the page that is asked for, and the token of the next."""
    start = int(given.get("NextToken") or 0)
    most = int(given.get("MaxResults") or 1000)
    if not 5 <= most <= 1000:
        raise AwsError("InvalidParameterValue", "MaxResults must be between 5 and 1000")
    most = min(most, world.rule("largest_page"))
    return found[start : start + most], str(start + most) if start + most < len(found) else None

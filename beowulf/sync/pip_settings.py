"""Where this head's pip gets packages from, for uv, which does not read pip's configuration."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

# pip's option → uv's; the values of those in REPEATED are lists, separated by blanks.
OPTIONS = {
    "index-url": "--index-url",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
REPEATED = {"extra-index-url", "find-links", "trusted-host"}


def read_settings(listing: str) -> dict[str, str]:
    """What ``pip config list`` printed: ``global.find-links='/opt'`` → ``{"find-links": "/opt"}``; environment wins."""
    found: dict[str, tuple[int, str]] = {}
    rank = {"global": 0, "install": 1, "download": 1, ":env:": 2}
    for line in listing.splitlines():
        name, separator, text = line.partition("=")
        section, _, option = name.rpartition(".")
        if not separator or section not in rank:
            continue
        value = str(ast.literal_eval(text)) if text[:1] in "'\"" else text
        if option not in found or rank[section] >= found[option][0]:
            found[option] = (rank[section], value)
    return {option: value for option, (_, value) in found.items()}


def uv_arguments(settings: Mapping[str, str]) -> tuple[str, ...]:
    """uv looks through all places for the best version then, as pip does."""
    arguments: list[str] = []
    for option, flag in OPTIONS.items():
        value = settings.get(option, "")
        for word in value.split() if option in REPEATED else filter(None, [value]):
            arguments += [flag, word]
    if settings.get("no-index", "") in ("1", "true", "True", "yes"):
        arguments.append("--no-index")
    return (*arguments, "--index-strategy", "unsafe-best-match")


def cuda_packages(pins: Iterable[str]) -> tuple[str, ...]:
    """Of ``name==version`` lines, those that only a CUDA build of torch brings."""
    names = [pin.partition("==")[0].strip().lower() for pin in pins]
    return tuple(name for name in names if name == "triton" or name.startswith("nvidia-"))

"""Host lists as Slurm's users write them: ``n[01-16]``, ``n[1,3-5]a,login``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

from beowulf.model.errors import BadInput
from beowulf.specs.complaints import Wrong, shown

MAX_HOSTS = 10_000
MAX_TEXT = 65_536
HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_LAST_NUMBER = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)


def expand_hosts(text: str) -> tuple[str, ...]:
    """The names in the order written, without repeats. Raises `BadInput`."""
    try:
        return host_names(text)
    except Wrong as wrong:
        raise BadInput(f"host list {shown(text)} {wrong}") from None


def compress_hosts(names: Iterable[str]) -> str:
    """The usual short spelling, sorted: ``n03, n01, n02`` → ``n[01-03]``. Only a name's last number is gathered."""
    groups: dict[tuple[str, str], list[str]] = {}
    plain: list[str] = []
    for name in sorted(set(names)):
        match = _LAST_NUMBER.fullmatch(name)
        if match and len(match[2]) < 10:
            groups.setdefault((match[1], match[3]), []).append(match[2])
        else:
            plain.append(name)
    pieces = [(prefix + suffix, _group(prefix, numbers, suffix)) for (prefix, suffix), numbers in groups.items()]
    pieces += [(name, name) for name in plain]
    return ",".join(piece for _, piece in sorted(pieces))


def host_names(text: str) -> tuple[str, ...]:
    """As `expand_hosts`, but raises `Wrong` for the caller to complete."""
    if len(text) > MAX_TEXT:
        raise Wrong(f"is longer than {MAX_TEXT} characters")
    names = tuple(dict.fromkeys(name for part in _parts(text) for name in expand(part)))
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise Wrong(f"holds {shown(name)}, which is not a host name (letters, digits, '.', '_' and '-')")
    if len(names) > MAX_HOSTS:
        raise Wrong(f"names more than {MAX_HOSTS} hosts")
    return names


def expand(pattern: str) -> tuple[str, ...]:
    """``10.0.0.[1-3]`` → three texts; a pattern without brackets is itself. Raises `Wrong`."""
    pieces = re.split(r"\[([^\[\]]*)\]", pattern)
    if any("[" in piece or "]" in piece for piece in pieces):
        raise Wrong("is not a host list: its brackets do not match (n[01-16], n[1,3-5])")
    choices = [_ranges(piece) if index % 2 else (piece,) for index, piece in enumerate(pieces)]
    count = 1
    for choice in choices:
        count *= len(choice)
        if count > MAX_HOSTS:
            raise Wrong(f"names more than {MAX_HOSTS} hosts")
    return tuple("".join(combination) for combination in product(*choices))


def _parts(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts: list[str] = []
    inside = False
    for piece in text.split(","):
        parts[-1:] = [f"{parts[-1]},{piece}"] if inside else [*parts[-1:], piece]
        opened, closed = piece.rfind("["), piece.rfind("]")
        inside = inside if opened == closed else opened > closed
    if not all(part.strip() for part in parts):
        raise Wrong("is not a host list (n1,n2 or n[01-16])")
    return [part.strip() for part in parts]


def _ranges(text: str) -> tuple[str, ...]:
    numbers: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match:
            raise Wrong(f"is not a host list: {shown(part)} is neither a number nor a range")
        low, high = match[1], match[2] or match[1]
        if int(low) > int(high):
            raise Wrong(f"is not a host list: {shown(part)} runs backwards")
        if int(high) - int(low) >= MAX_HOSTS:
            raise Wrong(f"names more than {MAX_HOSTS} hosts")
        width = len(low) if low.startswith("0") else 0
        numbers += [str(number).zfill(width) for number in range(int(low), int(high) + 1)]
    return tuple(numbers)


def _group(prefix: str, numbers: list[str], suffix: str) -> str:
    spans = [span for width, values in _widths(numbers).items() for span in _spans(width, values)]
    if len(spans) == 1 and "-" not in spans[0]:
        return f"{prefix}{spans[0]}{suffix}"
    return f"{prefix}[{','.join(spans)}]{suffix}"


def _widths(numbers: list[str]) -> dict[int, list[int]]:
    """By the digits they are padded to (0: none). ``10`` goes with ``01 … 09`` when those are there."""
    padded = {len(number) for number in numbers if number.startswith("0") and len(number) > 1}
    found: dict[int, list[int]] = {}
    for number in numbers:
        found.setdefault(len(number) if len(number) in padded else 0, []).append(int(number))
    return dict(sorted(found.items(), reverse=True))


def _spans(width: int, numbers: list[int]) -> list[str]:
    spans: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return [
        str(low).zfill(width) if low == high else f"{str(low).zfill(width)}-{str(high).zfill(width)}"
        for low, high in spans
    ]

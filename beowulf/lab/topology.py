"""A lab's topology file → values: which hosts there are and how unequal they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from beowulf.model.errors import BadInput

HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
MOST_HOSTS = 200
RATE = re.compile(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)")
RATE_UNITS = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|MiB|GB|GiB)")
LARGEST_FILE_BYTES = 1_000_000


def rate_bits(text: object) -> int:
    """Bits per second of ``1gbit``, ``100mbit`` or ``64kbit``."""
    match = RATE.fullmatch(str(text).strip().lower())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is not a link rate; write it like 1gbit, 100mbit or 64kbit")
    return int(float(match[1]) * RATE_UNITS[match[2]])


def memory_mib(text: object) -> int:
    """Mebibytes of ``12GB`` (a card's label, so GB counts as GiB here) or ``512MB``."""
    match = MEMORY.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a memory size; write it like 12GB or 512MB")
    return int(float(match[1]) * (1024 if match[2].startswith("G") else 1))


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{path!r} is not an absolute path")
    return path


def _user_name(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", name):
        raise ValueError(f"{name!r} is not a user name")
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _size_text(mib: int | None) -> str | None:
    return None if mib is None else f"{mib}MiB"


def _rate_text(bits: int | None) -> str | None:
    return None if bits is None else f"{bits / 1000}kbit"


class Gpu(_Strict):
    """One kind of card. Fake ones are told by a made-up ``nvidia-smi``; real ones are simply not hidden."""

    kind: str = Field(default="K80", max_length=60)
    memory: Annotated[int | None, BeforeValidator(memory_mib), PlainSerializer(_size_text)] = None
    driver: str = Field(default="", max_length=20, pattern=r"^[0-9.]*$")
    count: int = Field(default=1, ge=1, le=16)
    fake: bool = False
    real: bool = False


def _fake_or_real(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    for gpu in gpus:
        if gpu.fake == gpu.real:
            raise ValueError("say either 'fake: true' or 'real: true'")
    if len({gpu.fake for gpu in gpus}) > 1:
        raise ValueError("one host shows fake GPUs or real ones, not both")
    return gpus


class HostSettings(_Strict):
    """What makes one host unlike the others."""

    cpu_share: float | None = Field(default=None, gt=0, le=1)
    link: Annotated[int | None, BeforeValidator(rate_bits), PlainSerializer(_rate_text)] = None
    cores: int | None = Field(default=None, ge=1, le=4096)
    gpus: Annotated[tuple[Gpu, ...], AfterValidator(_fake_or_real)] = ()
    user: Annotated[str, AfterValidator(_user_name)] = "root"


class Topology(_Strict):
    """``hosts`` in the order of the file, each host list already taken apart."""

    hosts: Mapping[str, HostSettings] = Field(default_factory=dict)
    hide: tuple[Annotated[str, AfterValidator(_absolute)], ...] = ()


def with_count(topology: Topology, count: int | None) -> Topology:
    """The same topology with exactly ``count`` hosts: the file's first ones, filled up with plain ``n1``, ``n2``, …"""
    if count is None:
        return topology if topology.hosts else with_count(topology, 4)
    if not 1 <= count <= MOST_HOSTS:
        raise BadInput(f"{count} hosts; a lab has 1 to {MOST_HOSTS}", where="--nodes")
    hosts = dict(list(topology.hosts.items())[:count])
    number = 1
    while len(hosts) < count:
        hosts.setdefault(f"n{number}", HostSettings())
        number += 1
    return topology.model_copy(update={"hosts": hosts})


def load_topology(path: Path) -> Topology:
    """The topology in ``path``. Raises BadInput with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from None
    return parse_topology(text, str(path))


def parse_topology(text: str, where: str) -> Topology:
    if len(text) > LARGEST_FILE_BYTES:
        raise BadInput("is larger than 1 MB", where=where)
    tree = _tree(text, where)
    unknown = [key for key in tree if key not in ("defaults", "hosts", "hide")]
    if unknown:
        raise BadInput(
            f"'{unknown[0]}' is not known (defaults, hosts, hide)", where=f"{where}:{_line(tree, (unknown[0],))}"
        )
    hosts, lines = _spread_hosts(tree, where)
    try:
        return Topology.model_validate({"hosts": hosts, "hide": tree.get("hide") or []})
    except ValidationError as error:
        raise _complaint(error, tree, lines, where) from None


def _tree(text: str, where: str) -> CommentedMap:
    yaml = YAML(typ="rt")
    yaml.allow_duplicate_keys = False
    try:
        for event in YAML(typ="rt").parse(text):
            if getattr(event, "anchor", None) or getattr(event, "tag", None):
                raise BadInput(
                    "anchors, aliases and tags are not allowed", where=f"{where}:{event.start_mark.line + 1}"
                )
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(str(error.problem), where=f"{where}:{line}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadInput(str(error).splitlines()[0], where=where) from None
    if tree is None:
        return CommentedMap()
    if not isinstance(tree, CommentedMap):
        raise BadInput("a topology is a mapping with 'hosts'", where=f"{where}:1")
    return tree


def _spread_hosts(tree: CommentedMap, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Each host's raw settings over the defaults, and under which key of the file it stands."""
    defaults = _mapping(tree, "defaults", where)
    hosts: dict[str, Any] = {}
    lines: dict[str, str] = {}
    for key, settings in _mapping(tree, "hosts", where).items():
        place = f"{where}:{_line(tree, ('hosts', key))}"
        if settings is not None and not isinstance(settings, dict):
            raise BadInput(f"the settings of {key} are a mapping", where=place)
        for name in expand(str(key), place):
            if name in hosts:
                raise BadInput(f"host {name} stands twice", where=place)
            hosts[name] = {**defaults, **(settings or {})}
            lines[name] = str(key)
            if len(hosts) > MOST_HOSTS:
                raise BadInput(f"more than {MOST_HOSTS} hosts", where=place)
    return hosts, lines


def _mapping(tree: CommentedMap, key: str, where: str) -> CommentedMap:
    value = tree.get(key)
    if value is None:
        return CommentedMap()
    if not isinstance(value, CommentedMap):
        raise BadInput(f"'{key}' is a mapping", where=f"{where}:{_line(tree, (key,))}")
    return value


def expand(pattern: str, where: str = "") -> list[str]:
    """``n[1-3,7]`` → n1 n2 n3 n7; ``n[01-03]`` keeps its zeros. Raises BadInput."""
    match = re.fullmatch(r"([a-z0-9-]*)\[([0-9,-]+)\]([a-z0-9-]*)", pattern)
    names = [pattern]
    if match is not None:
        names = [f"{match[1]}{number}{match[3]}" for number in _numbers(match[2], pattern, where)]
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise BadInput(f"{pattern!r} is not a host name or a list like n[1-4]", where=where)
    return names


def _numbers(ranges: str, pattern: str, where: str) -> list[str]:
    numbers: list[str] = []
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        first, last = (match[1], match[2] or match[1]) if match else ("1", "0")
        if not 0 <= int(last) - int(first) < MOST_HOSTS:
            raise BadInput(f"{pattern!r} is not a host list of 1 to {MOST_HOSTS} hosts", where=where)
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return numbers


def _complaint(error: ValidationError, tree: CommentedMap, lines: Mapping[str, str], where: str) -> BadInput:
    first = error.errors()[0]
    path = tuple(first["loc"])
    if path[:1] == ("hosts",) and len(path) > 1:
        key = lines.get(str(path[1]), path[1])
        inside = tree["hosts"].get(key) or {}
        path = ("hosts", key, *path[2:]) if len(path) < 3 or path[2] in inside else ("defaults", *path[2:])
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"is not known ({', '.join(HostSettings.model_fields)})"
    named = ".".join(str(part) for part in path)
    return BadInput(f"{named}: {message}", where=f"{where}:{_line(tree, path)}")


def _line(tree: Any, path: tuple[int | str, ...]) -> int:
    """The line, counted from 1, of the deepest part of ``path`` that stands in the file."""
    line = 1
    for key in path:
        try:
            position = tree.lc.key(key) if isinstance(tree, CommentedMap) else tree.lc.item(key)
            tree = tree[key]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
        line = position[0] + 1
    return line

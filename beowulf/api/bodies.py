"""What requests carry, checked before anything else sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from beowulf.api.faults import from_validation
from beowulf.model.errors import BadInput
from beowulf.model.job import JobSpec
from beowulf.model.node import Endpoint

MAX_BODY_BYTES = 16 * 1024 * 1024
_STRICT = ConfigDict(extra="forbid")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobBody:
    """``key`` makes a repeat of the same request answer with the job the first one made."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    spec: JobSpec
    array: tuple[int, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class PlanBody:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    spec: JobSpec
    array: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeBody:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    node: str
    endpoint: Endpoint
    host_key: str
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    site: str = "lab"
    max_cpus: int = 0
    max_memory_mib: int = 0
    share_gpus: int = 1
    share_between_users: bool = False


@dataclass(frozen=True, slots=True)
class DrainBody:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    reason: str


@dataclass(frozen=True, slots=True)
class RekeyBody:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    host_key: str


@dataclass(frozen=True, slots=True)
class DiscoverBody:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    networks: tuple[str, ...]
    ports: tuple[int, ...] = (22,)
    user: str = ""


@dataclass(frozen=True, slots=True)
class BenchBody:
    """``nodes`` empty: all. ``peers``: of how many each node's line is measured."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    nodes: tuple[str, ...] = ()
    force: bool = False
    peers: int = 8


@dataclass(frozen=True, slots=True)
class ScanBody:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class TerminateBody:
    """``at_once``: jobs that run there are not waited for."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    at_once: bool = False


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def parse(kind: type[T], text: bytes) -> T:
    """Raises `BadInput` that names the field."""
    try:
        plain = from_json(text)
    except ValueError as error:
        raise BadInput(f"not JSON: {error}", where="body") from error
    if isinstance(plain, dict) and isinstance(spec := plain.get("spec"), dict):
        _refuse_unknown(spec)
    try:
        # As JSON again: only there may a list be a tuple and a word an enum in strict fields.
        return adapter(kind).validate_json(text)
    except ValidationError as error:
        raise from_validation(error) from error


def _refuse_unknown(spec: dict[str, Any]) -> None:
    unknown = sorted(set(spec) - {known.name for known in fields(JobSpec)})
    if unknown:
        raise BadInput(
            f"{unknown[0]!r} is not known to this head", where="spec", hint="the client may be newer than the head"
        )

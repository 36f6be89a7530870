"""A lab's own folder: what was made is on disk before it is made, so that any crash can be tidied up after."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from beowulf.lab.blueprint import Blueprint
from beowulf.model.errors import BadInput, Refused

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
STATE_FILE = "state.json"


@dataclass(frozen=True)
class State:
    version: Literal[1]
    phase: Literal["making", "up"]
    blueprint: Blueprint
    public_keys: tuple[str, ...] = ()  # given by the user; a host that is switched on again knows them too
    partitions: tuple[tuple[str, str], ...] = ()


_STATE = TypeAdapter(State)


def labs_folder() -> Path:
    """Where labs are kept: ``$BEOWULF_LAB``, else ``~/.local/state/beowulf-lab``."""
    chosen = os.environ.get("BEOWULF_LAB")
    return Path(chosen).absolute() if chosen else Path.home() / ".local/state/beowulf-lab"


def lab_folder(name: str, labs: Path | None = None) -> Path:
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is not a lab's name", where="--name", hint="up to 20 small letters, digits and hyphens"
        )
    return Path(os.path.realpath(labs or labs_folder())) / name


def read_state(folder: Path) -> State | None:
    """None when there is no lab. Raises Refused when the file is not one this version understands."""
    path = folder / STATE_FILE
    try:
        return _STATE.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Refused(f"{path} belongs to another user") from None
    except ValidationError as error:
        raise Refused(f"{path} was written by another version: {error.errors()[0]['msg']}") from None


def write_state(folder: Path, state: State) -> None:
    write_file(folder / STATE_FILE, _STATE.dump_json(state, indent=1).decode())


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """All of it or nothing. No fsync: a power cut of the machine takes the whole lab with it anyway."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.replace(fresh, path)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The lock's descriptor. Commands inherit it, so it stays held until the last step under way has ended, even
    when whoever started that step was killed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(descriptor)  # removed while we waited: the next one's lock is another file
    try:
        yield descriptor
    finally:
        os.close(descriptor)

"""The head's wheels: each file once by content, and per environment the list of those it takes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from beowulf.sync.cancel import Cancellation
from beowulf.sync.environment import EnvironmentPlan
from beowulf.sync.expiry import Cached
from beowulf.sync.locks import Locks
from beowulf.sync.resolve import fetch, find_uv
from beowulf.sync.trees import remove_leftovers, rename_folder, scratch


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file that travels; also used for the uv program itself."""

    name: str
    sha256: str
    size_bytes: int


Fetch = Callable[[EnvironmentPlan, Path, Cancellation], list[Path]]


class WheelHouse:
    """``files/<sha256>/<name>`` and ``lists/<key>.json``. Safe to use from several threads."""

    def __init__(self, folder: Path, *, fetch: Fetch = fetch) -> None:
        self.folder = folder
        self._files = folder / "files"
        self._lists = folder / "lists"
        for path in (self._files, self._lists):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(folder)
        self._fetch = fetch
        self._locks = Locks()
        self._uv_lock = threading.Lock()
        self._uv: tuple[Wheel, Path] | None = None

    def wheels(self, planned: EnvironmentPlan, cancellation: Cancellation) -> tuple[Wheel, ...]:
        """What this environment takes, fetched now if no environment of the kind took it before."""
        path = self._lists / f"{key(planned)}.json"
        with self._locks.holding(path.name, cancellation):
            known = self._known(path)
            if known is not None:
                for wheel in known:
                    os.utime(self._files / wheel.sha256)
                return known
            with scratch(self.folder) as temporary:
                found = tuple(self._keep(wheel) for wheel in self._fetch(planned, temporary, cancellation))
                listing = temporary / "list.json"
                listing.write_text(json.dumps([asdict(wheel) for wheel in found]))
                os.replace(listing, path)
            return found

    def path(self, wheel: Wheel) -> Path:
        if self._uv is not None and wheel == self._uv[0]:
            return self._uv[1]
        return self._files / wheel.sha256 / wheel.name

    def held(self) -> list[Cached]:
        """Each by its hash, with the time it was last asked for."""
        return [Cached(one.name, sum(_sizes(one)), one.stat().st_mtime) for one in self._files.iterdir()]

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            with scratch(self.folder) as temporary:
                os.rename(self._files / name, temporary / name)

    def uv(self) -> Wheel | None:
        """The head's own uv, to be shipped to nodes of the same architecture."""
        with self._uv_lock:
            if self._uv is None and (found := find_uv()):
                path = Path(found)
                self._uv = (Wheel("uv", sha256_of(path), path.stat().st_size), path)
            return self._uv[0] if self._uv else None

    def _known(self, path: Path) -> tuple[Wheel, ...] | None:
        try:
            wheels = tuple(Wheel(**fields) for fields in json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return wheels if all(self.path(wheel).is_file() for wheel in wheels) else None

    def _keep(self, path: Path) -> Wheel:
        wheel = Wheel(path.name, sha256_of(path), path.stat().st_size)
        with scratch(self.folder) as temporary, contextlib.suppress(FileExistsError):
            folder = temporary / "wheel"
            folder.mkdir()
            os.rename(path, folder / path.name)
            rename_folder(folder, self._files / wheel.sha256)
        return wheel


def _sizes(folder: Path) -> Iterator[int]:
    return (file.stat().st_size for file in folder.iterdir())


def key(planned: EnvironmentPlan) -> str:
    """One list for all nodes of a kind, wherever their interpreter lies."""
    kind = planned.kind
    named = [planned.requirements, kind.python, kind.arch, kind.glibc, kind.cuda]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

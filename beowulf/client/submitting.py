"""A job as written → a spec whose folders are with the head: what a submit needs, for commands and screens alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from beowulf.model.errors import BadInput

if TYPE_CHECKING:
    from beowulf.client.pack import Packed
    from beowulf.client.trees import TreeRequests
    from beowulf.model.job import JobSpec
    from beowulf.specs.job import JobRequest


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8 text (byte {error.start})", where=str(path)) from error
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from error


def request_of(job: Mapping[str, Any] | Path | str) -> JobRequest:
    """The job of a file, or of a dictionary with a job file's keys. Raises `BadInput`."""
    from beowulf.specs.job import parse_job

    if isinstance(job, Mapping):
        return parse_job(json.dumps(job, indent=1, default=str), name="job")
    return parse_job(read_text(Path(job)), name=str(job))


def packed_spec(request: JobRequest) -> tuple[JobSpec, tuple[Packed, ...]]:
    """The spec to submit, and the folders it names. Paths are relative to where beowulf is run. Raises `BadInput`."""
    from beowulf.specs.job import complete

    workdir = _packed(request.workdir, "workdir") if request.workdir is not None else None
    mounts = [_packed(mount.source, "file_mounts", PurePosixPath(mount.target).name) for mount in request.file_mounts]
    # A file travels as a folder that holds it: what is named is then where that folder goes.
    targets = tuple(
        replace(mount, target=_above(mount.target)) if packed.single else mount
        for mount, packed in zip(request.file_mounts, mounts, strict=True)
    )
    lines = read_text(Path(request.requirements_file).expanduser()).splitlines() if request.requirements_file else ()
    spec = complete(
        replace(request, file_mounts=targets),
        workdir_tree=workdir.tree if workdir else None,
        mount_trees=[packed.tree for packed in mounts],
        requirements_lines=lines,
        submit_dir=str(Path.cwd()),
    )
    return spec, tuple(packed for packed in (workdir, *mounts) if packed is not None)


def _above(target: str) -> str:
    above = str(PurePosixPath(target).parent)
    return "" if above == "." else above


def _packed(source: str, key: str, name: str = "") -> Packed:
    from beowulf.client.pack import pack
    from beowulf.client.s3 import SCHEME, fetch

    path = Path(source).expanduser()
    if source.startswith(SCHEME):
        path = fetch(source, key)
    if not path.exists():
        raise BadInput(f"{source} is not here", where=key, hint=f"looked for {path.absolute()}")
    if key == "workdir" and not path.is_dir():
        raise BadInput(f"{source} is not a folder", where=key)
    return pack(path, name=name)


def hand_in(
    client: TreeRequests,
    folders: Iterable[Packed],
    tell: Callable[[str], object],
    watch: Callable[[str, Iterable[bytes], int], Iterable[bytes]] = lambda _, pieces, __: pieces,
) -> None:
    """Sends what the head does not have yet, and tells of it. The pieces pass through ``watch(text, pieces, bytes)``,
    the last being the size of all files."""
    from beowulf.views import bytes_amount

    for packed in folders:
        if client.has_tree(packed.tree.digest):
            continue
        amount = bytes_amount(packed.tree.size_bytes)
        tell(f"sending {packed.tree.source}: {packed.tree.files} file{'s' * (packed.tree.files != 1)}, {amount}")
        client.put_tree(packed.tree.digest, watch("sending", packed.chunks(), packed.tree.size_bytes))

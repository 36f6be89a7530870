"""Sources in S3 (``s3://bucket/key``): fetched at submit with the submitter's own rights, so that no node needs any.

What was fetched is kept in ``${XDG_CACHE_HOME:-~/.cache}/beowulf/s3/``; the next submit fetches only what changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beowulf.model.errors import BadInput
from beowulf.model.tree import path_complaint

SCHEME = "s3://"


def fetch(source: str, key: str) -> Path:
    """The file, or the folder of what lies below ``source``, on this machine. Raises `BadInput`, which says that it is
    about ``key`` of the job file."""
    bucket, _, name = source.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise BadInput(f"{source} names no bucket", where=key, hint="s3://bucket/path")
    client = _client(key)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        objects = _listed(client, bucket, name)
        if not objects:
            raise BadInput(f"there is nothing at {source}", where=key)
        wanted = _paths(objects, name, key)
        folder = _cache() / hashlib.sha256(source.encode()).hexdigest()[:16]
        _bring(client, bucket, objects, wanted, folder)
    except (ClientError, BotoCoreError) as error:
        raise BadInput(f"{source} cannot be fetched: {error}", where=key, hint="aws s3 ls " + source) from error
    return folder / "content" / wanted[name] if name in wanted else folder / "content"


def _client(key: str) -> Any:
    try:
        import boto3
    except ImportError as error:
        raise BadInput("s3:// needs boto3", where=key, hint="pip install 'beowulf[aws]'") from error
    return boto3.session.Session().client("s3")


def _cache() -> Path:
    above = os.environ.get("XDG_CACHE_HOME")
    return (Path(above) if above else Path.home() / ".cache") / "beowulf" / "s3"


def _listed(client: Any, bucket: str, name: str) -> Mapping[str, str]:
    """Object → its ETag, of the object called ``name`` or else of all below it. Folder markers are left out."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=name)
    tags = {row["Key"]: row["ETag"] for page in pages for row in page.get("Contents", ())}
    if name in tags and not name.endswith("/"):
        return {name: tags[name]}
    below = name if not name or name.endswith("/") else name + "/"
    return {found: tag for found, tag in tags.items() if found.startswith(below) and not found.endswith("/")}


def _paths(objects: Mapping[str, str], name: str, key: str) -> Mapping[str, str]:
    """Object → its path in our folder."""
    if list(objects) == [name]:
        paths = {name: name.rpartition("/")[2]}
    else:
        below = len(name.rstrip("/")) + 1 if name else 0
        paths = {found: found[below:] for found in objects}
    folders = {parent for path in paths.values() for parent in _parents(path)}
    for found, path in paths.items():
        said = path_complaint(path) or (f"{path!r} is a file and a folder" if path in folders else "")
        if said:
            raise BadInput(f"the object {found!r} cannot become a file: {said}", where=key)
    return paths


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _bring(client: Any, bucket: str, objects: Mapping[str, str], paths: Mapping[str, str], folder: Path) -> None:
    """Afterwards ``folder/content`` holds these objects and nothing else."""
    content, index = folder / "content", folder / "tags.json"
    content.mkdir(parents=True, exist_ok=True)
    had: dict[str, str] = json.loads(index.read_text()) if index.exists() else {}
    for place in sorted(content.rglob("*"), reverse=True):
        kept = place.relative_to(content).as_posix() in paths.values()
        if place.is_file() and not kept:
            place.unlink()
        elif place.is_dir() and not any(place.iterdir()):
            place.rmdir()
    for name, tag in objects.items():
        place = content / paths[name]
        if had.get(name) == tag and place.is_file():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, name, str(place))
        had[name] = tag
        index.write_text(json.dumps({known: had[known] for known in objects if known in had}))

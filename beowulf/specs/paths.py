"""Paths as people write them: checked and normalised, never looked up. Each raises `Wrong`, the end of a sentence."""

from __future__ import annotations

import posixpath

from beowulf.specs.complaints import Wrong


def local(text: str) -> str:
    """A path as written, without a way up or anything a shell would expand."""
    if not text.strip() or any(not char.isprintable() for char in text):
        raise Wrong("is not a path (empty, or with a line break or control character)")
    if len(text) > 4096:
        raise Wrong("is longer than 4096 characters")
    if text.startswith("-"):
        raise Wrong("begins with '-': write ./ before it")
    if "$" in text or "`" in text:
        raise Wrong("holds '$' or '`': nothing is expanded in a path, write it out")
    if ".." in text.split("/"):
        raise Wrong("holds '..': write the path from / or ~/, or from where beowulf is run")
    if "://" in text:
        raise Wrong("is an address: this version takes files and folders of this machine only")
    return text


def source(text: str) -> str:
    """A path as `local`, or what lies in S3."""
    if not text.startswith("s3://"):
        if "://" in text:
            raise Wrong("is an address of a kind that is not fetched: s3://bucket/key, or files and folders here")
        return local(text)
    local(text.removeprefix("s3://"))
    return text


def inside(text: str) -> str:
    """A path below the work folder, normalised; a folder keeps its ``/``."""
    clean = posixpath.normpath(local(text))
    if text.startswith(("/", "~")) or clean == ".":
        raise Wrong("is not below the work folder: write it relative to that (results/)")
    return clean + "/" if text.endswith("/") else clean


def on_node(text: str) -> str:
    """Relative to the work folder, or below the node user's home as ``~/…``."""
    clean = posixpath.normpath(local(text))
    if text.startswith("/"):
        raise Wrong("is absolute: on a node only the work folder (data/) and the home (~/data) are ours to write")
    if clean in (".", "~") or (clean.startswith("~") and not clean.startswith("~/")):
        raise Wrong("must name a place below the work folder (data/) or below the home (~/data)")
    if clean.split("/")[:2] in (["~", ".beowulf"], ["~", ".ssh"]):
        raise Wrong("would write into ~/.ssh or ~/.beowulf, which is refused")
    return clean


def absolute(text: str) -> str:
    if not local(text).startswith("/"):
        raise Wrong("is not absolute: it must be the same path on every node (/opt/envs/torch)")
    return posixpath.normpath(text)

"""Which of a gang's checkpoints is the newest, and how it comes home whole.

`beowulf.train` keeps each checkpoint in a folder of its own with a ``manifest.json``: ``{"version": 1, "step": n,
"files": {name: {"sha256", "size"}}}``. Of a folder that holds anything else the whole is taken, by time of change.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beowulf.model.job import Tree
from beowulf.model.node import Node, NodeId
from beowulf.model.tree import TreeEntry, total_bytes
from beowulf.sync import outputs
from beowulf.sync.cancel import Cancellation
from beowulf.sync.errors import StagingError
from beowulf.sync.session import OpenBulk, session
from beowulf.sync.trees import TreeStore, entries_of, scratch

Survey = Sequence[tuple[str, float, Any]]
"""Name, time of change, manifest (or None): what lies in one node's checkpoint folder."""
SURVEYS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """``path`` of ``node`` is worth a try. ``step`` 0: its format does not say."""

    node: NodeId
    path: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class Brought:
    node: NodeId
    step: int
    tree: Tree


def candidates(path: str, surveys: Mapping[NodeId, Survey], newer_than: int) -> tuple[Candidate, ...]:
    """The newest first; of equal ones that of the node which comes first. None is older than ``newer_than`` steps."""
    told = [
        Candidate(node, posixpath.join(path, name), step)
        for node, survey in surveys.items()
        for name, _, manifest in survey
        if (step := _step(manifest)) is not None
    ]
    if told:
        fresh = [candidate for candidate in told if candidate.step > newer_than]
        return tuple(sorted(fresh, key=lambda candidate: -candidate.step))
    newest = {node: max(changed for _, changed, _ in survey) for node, survey in surveys.items() if survey}
    return tuple(Candidate(node, path) for node in sorted(newest, key=lambda node: -newest[node]))


def _step(manifest: Any) -> int | None:
    step = manifest.get("step") if isinstance(manifest, dict) else None
    return step if isinstance(step, int) and step >= 0 else None


def bring_newest(
    open_bulk: OpenBulk,
    nodes: Sequence[Node],
    tag: str,
    path: str,
    store: TreeStore,
    *,
    newer_than: int,
    limits: outputs.Limits,
) -> Brought | None:
    """The newest good one of attempt ``tag`` into ``store``; None when no node has a newer one.

    A node that does not answer, or whose checkpoint is not what its manifest says, counts as one without. Raises
    `StagingError` when there is a newer one and no node could give it.
    """
    with ThreadPoolExecutor(SURVEYS_AT_ONCE, thread_name_prefix="survey") as pool:
        surveys = list(pool.map(lambda node: _survey(open_bulk, node, tag, path), nodes))
    by_id = {node.id: node for node in nodes}
    answers = zip(by_id, surveys, strict=True)
    found = {node: survey for node, survey in answers if not isinstance(survey, StagingError)}
    failed = [survey for survey in surveys if isinstance(survey, StagingError)]
    for candidate in candidates(path, found, newer_than):
        try:
            tree = _bring(open_bulk, by_id[candidate.node], tag, path, candidate, store, limits)
            return Brought(candidate.node, candidate.step, tree)
        except StagingError as error:
            failed.append(error)
    if failed:
        raise failed[-1]
    return None


def _survey(open_bulk: OpenBulk, node: Node, tag: str, path: str) -> Survey | StagingError:
    try:
        with session(open_bulk, node, Cancellation()) as talk:
            talk.send({"type": "survey", "tag": tag, "path": path})
            entries = json.loads(talk.receive_whole())
            talk.answer()
            return [(name, float(changed), manifest) for name, changed, manifest in entries if "/" not in name]
    except StagingError as error:
        return error


def _bring(
    open_bulk: OpenBulk, node: Node, tag: str, path: str, candidate: Candidate, store: TreeStore, limits: outputs.Limits
) -> Tree:
    with scratch(store.folder) as temporary, session(open_bulk, node, Cancellation()) as talk:
        came = temporary / "came"
        outputs.collect(talk, tag, (candidate.path,), came, limits, lambda done, total: None)
        if not (came / path).is_dir():
            raise StagingError(f"{node.id}: the checkpoint {candidate.path} was gone when it was fetched")
        entries = entries_of(came / path)
        said = _broken(came / candidate.path / "manifest.json", posixpath.relpath(candidate.path, path), entries)
        if said:
            raise StagingError(f"{node.id}: the checkpoint {candidate.path} is not whole: {said}")
        name = store.adopt(came / path, entries)
    files = sum(entry.kind == "file" for entry in entries)
    return Tree(name, total_bytes(entries), files, f"{node.id}:{candidate.path}")


def _broken(manifest: Path, folder: str, entries: Sequence[TreeEntry]) -> str:
    """Which file is not what the manifest says; "" when all are, or nothing is said."""
    if not manifest.is_file():
        return ""
    there = {entry.path: entry.sha256 for entry in entries}
    try:
        said = json.loads(manifest.read_bytes())["files"]
        broken = [name for name, file in said.items() if there.get(posixpath.join(folder, name)) != file["sha256"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({error!r:.200})"
    return f"{broken[0]} differs" if broken else ""

"""What the controller asks of this room: files and environment to a node before a job, outputs home after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from beowulf.model.job import Checkpoint, JobSpec
from beowulf.model.node import Node
from beowulf.sync import outputs
from beowulf.sync.cancel import Cancellation
from beowulf.sync.checkpoints import Brought, bring_newest
from beowulf.sync.depot import Depot
from beowulf.sync.environment import environment_digest, needs_environment, plan_environment
from beowulf.sync.errors import Cancelled, Refusal, StagingError
from beowulf.sync.expiry import Cached, CacheLimits, to_drop
from beowulf.sync.install import install
from beowulf.sync.locks import Locks
from beowulf.sync.outputs import Collected
from beowulf.sync.progress import Progress, Report, silent
from beowulf.sync.send_tree import send_tree
from beowulf.sync.session import OpenBulk, Session, session
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse

OUTPUTS_LIMIT_BYTES = 16 * 1024**3


@dataclass(frozen=True, slots=True)
class PlacedTree:
    """What a ``prepare`` frame says of a tree."""

    digest: str
    target: str


@dataclass(frozen=True, slots=True)
class Resume:
    """The checkpoint an attempt goes on from, and where the head keeps it."""

    checkpoint: Checkpoint
    store: TreeStore


@dataclass(frozen=True, slots=True)
class Staged:
    """What is on the node now: ``trees`` to be copied into place, ``environment`` a name in ``envs/`` or ``""``."""

    trees: tuple[PlacedTree, ...]
    environment: str


def placed_trees(spec: JobSpec, checkpoint: Checkpoint | None = None) -> tuple[PlacedTree, ...]:
    """The work folder first, so that what is mounted in it comes after; the checkpoint to go on from last."""
    work = (PlacedTree(spec.workdir.digest, "."),) if spec.workdir else ()
    mounts = (PlacedTree(mount.tree.digest, mount.target) for mount in spec.mounts)
    resumed = (PlacedTree(checkpoint.tree.digest, spec.checkpoint.path),) if checkpoint and spec.checkpoint else ()
    return (*work, *mounts, *resumed)


class Stager:
    """Every call blocks, raises `StagingError`, and may run in any thread; no node gets a thing twice at a time."""

    def __init__(
        self,
        open_bulk: OpenBulk,
        trees: TreeStore,
        house: WheelHouse,
        *,
        outputs_limit_bytes: int = OUTPUTS_LIMIT_BYTES,
        depots: Mapping[str, Depot] | None = None,
        admit: outputs.Admit = outputs.freely,
    ) -> None:
        """``depots``: by site, where nodes of that site fetch large files themselves. ``admit``: asked before anything
        comes home."""
        self._open_bulk = open_bulk
        self._trees = trees
        self._house = house
        self._limits = outputs.Limits(outputs_limit_bytes, admit)
        self._depots = depots or {}
        self._locks = Locks()

    def stage(
        self,
        node: Node,
        spec: JobSpec,
        *,
        resume: Resume | None = None,
        report: Report = silent,
        cancellation: Cancellation | None = None,
    ) -> Staged:
        """Brings what is missing, and only that."""
        cancelling = cancellation or Cancellation()
        environment = environment_digest(spec.environment, node.facts)
        if isinstance(environment, Refusal):
            raise StagingError(f"{node.id}: no environment for the job: {environment.sentence}")
        trees = [(self._trees, tree.digest) for tree in placed_trees(spec)]
        if resume:
            trees.append((resume.store, resume.checkpoint.tree.digest))
        if trees or environment or spec.environment.venv:
            depot = self._depots.get(node.site)
            try:
                self._bring(node, spec, trees, depot, report, cancelling)
            except Cancelled:
                raise
            except StagingError:
                if depot is None:
                    raise
                # Perhaps the node cannot get at the depot: what it lacks comes over the line then.
                self._bring(node, spec, trees, None, report, cancelling)
        return Staged(placed_trees(spec, resume.checkpoint if resume else None), environment)

    def collect(
        self,
        node: Node,
        tag: str,
        paths: tuple[str, ...],
        into: Path,
        *,
        report: Report = silent,
        cancellation: Cancellation | None = None,
    ) -> Collected:
        """Brings ``paths`` of attempt ``tag``'s work folder to the folder ``into``; what is not there is no error."""

        def moved(done: int, total: int) -> None:
            report(Progress(node.id, "outputs", done, total, home=True))

        with self._session(node, cancellation or Cancellation()) as talk:
            return outputs.collect(talk, tag, paths, into, self._limits, moved)

    def collect_checkpoint(
        self, nodes: Sequence[Node], tag: str, path: str, store: TreeStore, *, newer_than: int
    ) -> Brought | None:
        """The newest good checkpoint below ``path`` of any of ``nodes``, into ``store``; None: nothing newer."""
        return bring_newest(self._open_bulk, nodes, tag, path, store, newer_than=newer_than, limits=self._limits)

    def trim(self, node: Node, needed: frozenset[str], limits: CacheLimits, now: float) -> int:
        """Drops what the node's caches hold beyond the limits, never what ``needed`` names; → how many folders."""
        with self._session(node, Cancellation()) as talk:
            held = talk.ask({"type": "held"})
            named = {
                (kind, name): Cached(f"{kind}/{name}", size, used_at)
                for kind in ("trees", "envs", "wheels")
                for name, size, used_at in held[kind]
            }
            kept = frozenset(item.name for (_, name), item in named.items() if name in needed)
            dropping = set(to_drop(named.values(), kept, limits, now))
            request: dict[str, list[str]] = {"trees": [], "envs": [], "wheels": []}
            for (kind, name), item in named.items():
                if item.name in dropping:
                    request[kind].append(name)
            return int(talk.ask({"type": "drop", **request})["dropped"])

    def _session(self, node: Node, cancellation: Cancellation) -> AbstractContextManager[Session]:
        return session(self._open_bulk, node, cancellation)

    def _bring(
        self,
        node: Node,
        spec: JobSpec,
        trees: Sequence[tuple[TreeStore, str]],
        depot: Depot | None,
        report: Report,
        cancelling: Cancellation,
    ) -> None:
        with self._session(node, cancelling) as talk:
            for store, digest in trees:
                self._stage_tree(talk, store, digest, depot, report, cancelling)
            self._stage_environment(talk, node, spec, report, cancelling)
            self._check_venv(talk, spec)

    def _stage_tree(
        self,
        talk: Session,
        store: TreeStore,
        digest: str,
        depot: Depot | None,
        report: Report,
        cancelling: Cancellation,
    ) -> None:
        def moved(done: int, total: int, file: str) -> None:
            report(Progress(talk.node, "files", done, total, file))

        store.touch(digest)
        with self._locks.holding((talk.node, digest), cancelling):
            if digest not in talk.ask({"type": "status", "trees": [digest]})["trees"]:
                send_tree(talk, store, digest, moved, depot)

    def _stage_environment(
        self, talk: Session, node: Node, spec: JobSpec, report: Report, cancelling: Cancellation
    ) -> None:
        if not needs_environment(spec.environment):
            return
        planned = plan_environment(spec.environment, node.facts)
        if isinstance(planned, Refusal):
            raise StagingError(f"{node.id}: no environment for the job: {planned.sentence}")
        with self._locks.holding((node.id, planned.digest), cancelling):
            if planned.digest not in talk.ask({"type": "status", "envs": [planned.digest]})["envs"]:
                install(talk, self._house, planned, report, cancelling)

    def _check_venv(self, talk: Session, spec: JobSpec) -> None:
        path = spec.environment.venv
        error = talk.ask({"type": "venv", "path": path}).get("error") if path else None
        if error:
            raise StagingError(f"{talk.node}: env.venv {path} cannot be used: {error}")

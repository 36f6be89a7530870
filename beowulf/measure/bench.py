"""Measures nodes: first what each can do, machines side by side, then the lines between them, round by round."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from beowulf.measure.line import between
from beowulf.measure.rounds import Pair, apart, machines, rounds
from beowulf.measure.talk import NotMeasured, RunsCommands, Talk, number
from beowulf.model.errors import BeowulfError, Refused
from beowulf.model.node import DeviceSpeed, LineSpeed, NodeId, Profile
from beowulf.model.snapshot import Snapshot

PROCESSORS_LIMIT_S = 150.0  # the packages of three Pythons tried in vain; 2 to 10 s is usual
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Said:
    """A step on the way. ``phase``: ``processors``, ``lines``, ``measured`` or ``skipped`` (``text`` says why)."""

    node: NodeId
    phase: str
    text: str = ""


class Busy(Refused):
    """Somebody else measures just now."""


class Bench:
    """``record`` keeps what was measured of one node, durably, before it returns."""

    def __init__(
        self, fleet: RunsCommands, snapshot: Callable[[], Snapshot], record: Callable[[NodeId, Profile], object]
    ) -> None:
        self._fleet = fleet
        self._snapshot = snapshot
        self._record = record
        self._one = threading.Lock()

    def run(self, names: Sequence[NodeId], *, force: bool = False, peers: int = 8) -> Iterator[Said]:
        """What happens, as it happens. Idle nodes only, unless ``force``; ``peers``: of how many each line is measured.

        Closing the iterator ends the measurement. Raises `Busy` at the first step.
        """
        if not self._one.acquire(blocking=False):
            raise Busy("nodes are being measured already", hint="try again in a minute")
        work = _Measurement(self._fleet, self._snapshot, self._record, force)
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="bench") as pool:
                whole = pool.submit(work.run, tuple(names), peers)
                whole.add_done_callback(lambda _: work.said.put(None))
                try:
                    yield from iter(work.said.get, None)
                finally:
                    work.stop()
                whole.result()
        finally:
            self._one.release()


class _Measurement:
    """One ``nodes bench``, in threads of its own; what it says goes into ``said``, and None once it is over."""

    def __init__(
        self,
        fleet: RunsCommands,
        snapshot: Callable[[], Snapshot],
        record: Callable[[NodeId, Profile], object],
        force: bool,
    ) -> None:
        self.said: queue.SimpleQueue[Said | None] = queue.SimpleQueue()
        self._fleet = fleet
        self._snapshot = snapshot
        self._record = record
        self._force = force
        self._stopping = threading.Event()
        self._talks: dict[NodeId, Talk] = {}
        self._lines: dict[NodeId, list[LineSpeed]] = {}

    def stop(self) -> None:
        self._stopping.set()
        for talk in list(self._talks.values()):
            talk.close()

    def run(self, names: tuple[NodeId, ...], peers: int) -> None:
        nodes = self._snapshot().nodes
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bench") as pool:
            try:
                list(pool.map(self._one_machine, machines([nodes[name] for name in names])))
                met = [name for name in names if name in self._talks]
                machine = {name: nodes[name].facts.boot_id or name for name in met}
                for pairs in rounds(met, peers):
                    for batch in apart(pairs, machine.__getitem__):
                        list(pool.map(self._line, batch))
                for name in self._lines:
                    self._keep_lines(name)
            finally:
                self.stop()

    # processors and memory

    def _one_machine(self, names: Sequence[NodeId]) -> None:
        for name in names:
            try:
                self._processors(name)
            except NotMeasured as error:
                self._give_up(name, error.message)

    def _processors(self, name: NodeId) -> None:
        self._may_go_on(name)
        talk = self._talks[name] = Talk.begin(self._fleet, name)

        def progress(text: str) -> None:
            self._may_go_on(name)
            self._say(name, "processors", text)

        talk.send("processors", root=self._snapshot().nodes[name].root)
        found = talk.answer(PROCESSORS_LIMIT_S, progress)
        self._may_go_on(name)
        devices = tuple(_device(one) for one in found["devices"])
        self._keep(name, Profile(devices=devices))
        said = ", ".join(f"{one.device} {one.gflops:.3g} GFLOP/s ({one.method})" for one in devices)
        self._say(name, "measured", "; ".join((said, *found.get("complaints", ()))))

    def _may_go_on(self, name: NodeId) -> None:
        """Jobs come first: one that was placed here meanwhile ends the measurement. Raises `NotMeasured`."""
        snapshot = self._snapshot()
        node = snapshot.nodes.get(name)
        if self._stopping.is_set() or node is None:
            raise NotMeasured("given up")
        if node.same_as:
            raise NotMeasured(f"it is the same machine as {node.same_as}")
        tags = sorted(snapshot.held.get(name, {}))
        if tags and not self._force:
            raise NotMeasured(f"job {tags[0].rpartition('.')[0]} is there (--force measures all the same)")

    # lines

    def _line(self, pair: Pair) -> None:
        server, client = pair
        try:
            for name in pair:
                self._may_go_on(name)
            host = self._snapshot().nodes[server].address
            there, back = between(self._talks[server], self._talks[client], lambda port: (host, port))
        except NotMeasured as error:
            for name, peer in (pair, pair[::-1]):
                self._note(name, LineSpeed(peer, error=error.message))
            return
        self._note(client, there)
        self._note(server, back)

    def _note(self, name: NodeId, line: LineSpeed) -> None:
        self._lines.setdefault(name, []).append(line)
        text = line.error or f"{line.megabytes_per_s:.4g} MB/s, {line.round_trip_ms:.3g} ms there and back"
        self._say(name, "lines", f"to {line.peer}: {text}")

    def _keep_lines(self, name: NodeId) -> None:
        try:
            self._keep(name, Profile(links=tuple(self._lines[name])))
        except NotMeasured as error:
            self._say(name, "skipped", error.message)

    # both

    def _keep(self, name: NodeId, profile: Profile) -> None:
        try:
            self._record(name, profile)
        except BeowulfError as error:
            raise NotMeasured(f"its figures were not kept: {error.message}") from error

    def _give_up(self, name: NodeId, why: str) -> None:
        talk = self._talks.pop(name, None)
        if talk is not None:
            talk.close()
        self._say(name, "skipped", why)

    def _say(self, name: NodeId, phase: str, text: str) -> None:
        self.said.put(Said(name, phase, text))


def _device(found: dict[str, Any]) -> DeviceSpeed:
    """Raises `NotMeasured` for what is no measurement."""
    try:
        return DeviceSpeed(
            str(found["device"])[:40],
            str(found["method"])[:80],
            round(number(found["gflops"]), 4),
            round(number(found["memory_gb_s"]), 3),
            int(found["threads"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotMeasured(f"its figures cannot be read: {error!r}") from error

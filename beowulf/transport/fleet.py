"""All links of a head: a connection and a channel per node, kept up by one thread plus one sleeper per node."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from beowulf.agent import wire
from beowulf.model.errors import NotFound, Unreachable
from beowulf.model.node import Endpoint, NodeId
from beowulf.transport.bulk import WINDOW_BYTES, BulkChannel, BulkLines
from beowulf.transport.config import SettingsFolder
from beowulf.transport.connect import Connection
from beowulf.transport.event import LinkDown, LinkEvent
from beowulf.transport.keys import KeyRing
from beowulf.transport.passages import Passages
from beowulf.transport.problem import STALLING, LinkFailed, Problem, ProblemKind
from beowulf.transport.reach import AgentSource, Reach, Wanted
from beowulf.transport.session import Session
from beowulf.transport.settings import LinkSettings, delay_before_retry

log = logging.getLogger(__name__)

CLOSE_S = 10.0


@dataclass(slots=True)
class Keeping:
    """A node we keep a link to, seen from the fleet's loop."""

    wanted: Wanted
    boots: bool = False
    again: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Fleet:
    """Events come from several threads, those of one node one at a time and in order. The sink must not wait, and must
    not call ``close``; it may call anything else. After ``LinkDown`` nothing of that link follows."""

    def __init__(
        self,
        sink: Callable[[LinkEvent], None],
        *,
        cluster: str,
        epoch: int,
        keys: KeyRing,
        settings: LinkSettings,
        ssh: SettingsFolder | None = None,
        agent: AgentSource | None = None,
    ) -> None:
        self._sink = sink
        self._cluster = cluster
        self._epoch = epoch
        self._settings = settings
        self._ssh = ssh or SettingsFolder()
        self._keys = keys
        self._agent = agent or AgentSource.packed()
        self._kept: dict[NodeId, Keeping] = {}  # the loop's
        self._wanted: dict[NodeId, Wanted] = {}  # the callers'
        self._up: dict[NodeId, Session] = {}
        self._down_because: dict[NodeId, str] = {}
        self._lines = BulkLines(keys, settings, self._ssh, self._later)
        self._loop = asyncio.new_event_loop()
        self._pools = (
            ThreadPoolExecutor(settings.slots, "handshake"),
            ThreadPoolExecutor(settings.stalled_slots, "handshake-stalled"),
        )
        self._loop.set_default_executor(ThreadPoolExecutor(8, "resolve"))
        self._reach = Reach(keys, settings, self._ssh, self._agent, self._later)
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._thread.start()

    # for callers

    def connect(self, node: NodeId, endpoint: Endpoint, host_key: str, generation: int, *, boots: bool = False) -> None:
        """Keep a link to the node from now on. Called again with the same values it tries at once. The shut door of one
        that ``boots`` surprises nobody: it is tried at the same pace until the link was up."""
        wanted = Wanted(node, endpoint, host_key, generation)
        self._wanted[node] = wanted
        self._later(0.0, lambda: self._keep_from_now_on(wanted, boots))

    def drop(self, node: NodeId) -> None:
        """Give the link up. A last LinkDown, of kind ``closed``, follows."""
        self._wanted.pop(node, None)
        self._later(0.0, lambda: self._give_up(node))

    def send(self, node: NodeId, header: Mapping[str, Any], payload: bytes = b"") -> bool:
        """Queue a frame; never waits. False: no link now, its queue is full, or the frame is longer than frames are."""
        session = self._up.get(node)
        try:
            return session is not None and session.post(wire.encode(dict(header), payload))
        except wire.WireError as error:
            log.error("%s is not told: %s", node, error)
            return False

    def bulk(self, node: NodeId, command: Sequence[str], window_bytes: int = WINDOW_BYTES) -> BulkChannel:
        """Run a command on the node with its stdin, stdout and exit code; blocking. On a connection of its own, so that
        gigabytes do not delay heartbeats. At most ``window_bytes`` wait here to be read. Raises NotFound or
        Unreachable."""
        wanted = self._linked(node)
        return self._lines.open(node, wanted.endpoint, wanted.host_key, command, window_bytes)

    def passages(self, near: NodeId, on_broken: Callable[[str], None]) -> Passages:
        """Ways to ``near`` from nodes that cannot reach it themselves; theirs who asks is to close them."""

        def dial(node: NodeId) -> Connection | None:
            wanted = self._linked(node)
            return None if wanted.endpoint.local else self._lines.connection(wanted.endpoint, wanted.host_key)

        return Passages(near, dial, on_broken)

    def _linked(self, node: NodeId) -> Wanted:
        """Raises NotFound or Unreachable."""
        wanted = self._wanted.get(node)
        if wanted is None:
            raise NotFound(f"no node {node} here")
        if node not in self._up:
            why = self._down_because.get(node, "it is still being connected")
            raise Unreachable(f"{node} has no link: {why}")
        return wanted

    def close(self) -> None:
        """End all links without an event: the head goes, the nodes are not down."""
        if self._loop.is_closed():
            return
        stopping = asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
        stopping.result(CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        self._lines.close()
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    # in the fleet's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        try:
            if seconds:
                self._loop.call_soon_threadsafe(self._loop.call_later, seconds, what)
            else:
                self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            log.debug("the fleet is closed already")

    async def _stop(self) -> None:
        tasks = [keeping.task for keeping in self._kept.values() if keeping.task]
        self._kept.clear()
        self._sink = lambda event: None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reach.close()

    def _keep_from_now_on(self, wanted: Wanted, boots: bool) -> None:
        before = self._kept.get(wanted.node)
        if before and before.wanted == wanted:
            before.boots = before.boots or boots
            before.again.set()
            return
        self._give_up(wanted.node)
        keeping = self._kept[wanted.node] = Keeping(wanted, boots)
        keeping.task = self._loop.create_task(self._keep(keeping, before.task if before else None))

    def _give_up(self, node: NodeId) -> None:
        keeping = self._kept.pop(node, None)
        if keeping and keeping.task:
            keeping.task.cancel()
            self._lines.forget(node)

    async def _keep(self, keeping: Keeping, before: asyncio.Task[None] | None) -> None:
        """Link after link, for as long as the node is wanted."""
        wanted = keeping.wanted
        if before:
            await asyncio.wait({before})
        failures = 0
        told = Problem(ProblemKind.CLOSED, "")
        try:
            while True:
                was_up, problem = await self._one_link(wanted, told.kind in STALLING)
                failures = 1 if was_up else failures + 1
                if was_up or problem != told:
                    self._tell_down(wanted, problem)
                told = problem
                keeping.boots = keeping.boots and not was_up
                await self._rest(keeping, self._delay_s(keeping, failures, problem))
        except asyncio.CancelledError:
            self._tell_down(wanted, Problem(ProblemKind.CLOSED, "the link was given up by the head"))
            raise

    def _delay_s(self, keeping: Keeping, failures: int, problem: Problem) -> float:
        if keeping.boots and problem.kind is ProblemKind.UNREACHABLE:
            return self._settings.knock_s
        return delay_before_retry(self._settings, failures, problem.kind, random.random())

    async def _rest(self, keeping: Keeping, seconds: float) -> None:
        keeping.again.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(keeping.again.wait(), seconds)

    def _tell_down(self, wanted: Wanted, problem: Problem) -> None:
        self._down_because[wanted.node] = problem.sentence
        self._sink(LinkDown(wanted.node, wanted.generation, problem.sentence, problem.kind, problem.hint))

    async def _one_link(self, wanted: Wanted, stalled: bool) -> tuple[bool, Problem]:
        """From the first packet to the end. Was it up, and why did it end?"""

        def on_up(session: Session) -> None:
            self._up[wanted.node] = session

        session = Session(wanted.node, wanted.generation, self._sink, on_up, self._settings, self._later)
        try:
            carrier = await self._reach.carrier(session, wanted, self._pools[stalled])
            session.attach(carrier, self._agent.source, self._hello(wanted.node))
            problem = await self._watch(session)
        except LinkFailed as error:
            problem = error.problem
        except Exception as error:
            log.exception("the link to %s failed in an unforeseen way", wanted.node)
            problem = Problem(ProblemKind.AGENT_FAILED, f"unforeseen: {error!r}")
        finally:
            session.close()
            if self._up.pop(wanted.node, None):
                self._lines.forget(wanted.node)
        return session.up, problem

    def _hello(self, node: NodeId) -> dict[str, Any]:
        return {
            "type": "hello",
            "wire": wire.WIRE_VERSION,
            "cluster": self._cluster,
            "node": node,
            "epoch": self._epoch,
            "heartbeat_s": self._settings.heartbeat_s,
        }

    async def _watch(self, session: Session) -> Problem:
        """Ping until the link ends or stays silent for too long."""
        beat = self._settings.heartbeat_s
        # Half a beat less: at the third beat without an answer, not at the one after.
        patience = beat * (self._settings.missed_heartbeats - 0.5)
        while True:
            before = self._loop.time()
            await asyncio.wait({session.ended}, timeout=beat)
            if session.ended.done():
                return session.ended.result()
            if self._loop.time() - before > 2 * beat:
                session.forgive()  # the head itself was asleep
            if not session.up:
                if session.silence_s() > self._settings.welcome_s:
                    return Problem(ProblemKind.AGENT_FAILED, "the agent was started but never said welcome")
            elif session.silence_s() > patience:
                missed = f"{self._settings.missed_heartbeats} heartbeats of {beat:g} s"
                return Problem(ProblemKind.LOST, f"no answer to {missed}", "is the machine on, and the network up?")
            else:
                session.ping()

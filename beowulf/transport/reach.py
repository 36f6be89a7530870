"""From a wanted node to a running agent's carrier, waiting without threads wherever a host may stall."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import paramiko

from beowulf.agent import pack
from beowulf.model.node import Endpoint, NodeId
from beowulf.transport.carrier import Carrier, Later, LocalCarrier, SshCarrier
from beowulf.transport.config import SettingsFolder
from beowulf.transport.connect import Handshake, Target, targets_of, through
from beowulf.transport.dial import dial
from beowulf.transport.keys import KeyRing
from beowulf.transport.problem import ProblemKind, failed
from beowulf.transport.session import Session
from beowulf.transport.settings import LinkSettings
from beowulf.transport.sockets import PushSocket, TcpEnd
from beowulf.transport.ssh import QuietTransport, deadline


@dataclass(frozen=True, slots=True)
class Wanted:
    node: NodeId
    endpoint: Endpoint
    host_key: str
    generation: int


@dataclass(frozen=True, slots=True)
class AgentSource:
    """The command that starts the agent on a node, and the bytes its stdin begins with."""

    command: str
    source: bytes

    @classmethod
    def packed(cls) -> AgentSource:
        return cls(pack.bootstrap_command(), pack.packed())


class Reach:
    def __init__(
        self, keys: KeyRing, settings: LinkSettings, ssh: SettingsFolder, agent: AgentSource, later: Later
    ) -> None:
        self._keys = keys
        self._settings = settings
        self._ssh = ssh
        self._agent = agent
        self._later = later
        self._jumps: dict[tuple[Target, ...], asyncio.Task[QuietTransport]] = {}

    async def carrier(self, session: Session, wanted: Wanted, pool: Executor) -> Carrier:
        """Raises LinkFailed. Whatever was opened closes with the session."""
        if wanted.endpoint.local:
            # The same line as over SSH, so that the local node is one like the others.
            return LocalCarrier(("/bin/sh", "-c", self._agent.command), session.receive, session.stream_ended)
        ssh = self._ssh.current()
        *jumps, target = targets_of(ssh, ssh.route(wanted.endpoint), wanted.host_key)
        sock = await self._socket(jumps, target, pool)
        session.own(sock.close)

        def start() -> Carrier:
            transport = Handshake(target, self._keys, self._settings).run(sock)
            return self._start_agent(transport, session)

        return await asyncio.get_running_loop().run_in_executor(pool, start)

    def _start_agent(self, transport: QuietTransport, session: Session) -> SshCarrier:
        carrier = SshCarrier(transport, self._later)
        seconds = self._settings.handshake_s
        try:
            with deadline(transport, seconds) as passed:
                carrier.start(self._agent.command, session.receive, session.stream_ended, seconds)
            return carrier
        except (paramiko.SSHException, EOFError, OSError) as error:
            transport.close()
            kind = ProblemKind.TIMEOUT_AUTH if passed.is_set() else ProblemKind.DROPPED
            said = f"stalled for {seconds:g} s" if passed.is_set() else f"the connection ended ({error})"
            raise failed(kind, f"{said} when the agent was to be started") from error
        except BaseException:
            transport.close()
            raise

    async def _socket(self, jumps: Sequence[Target], target: Target, pool: Executor) -> PushSocket:
        hop = target.hop
        if jumps:
            before = await self._jump(tuple(jumps), pool)
            loop = asyncio.get_running_loop()
            channel = await loop.run_in_executor(pool, through, before, hop, self._settings.connect_s)
            return PushSocket(channel, b"", self._later)
        dialled = await dial(hop.host, hop.port, connect_s=self._settings.connect_s, banner_s=self._settings.banner_s)
        end = TcpEnd(dialled.sock)
        end.die_when_silent(self._settings.silence_s)
        return PushSocket(end, dialled.read, self._later)

    async def _jump(self, jumps: tuple[Target, ...], pool: Executor) -> QuietTransport:
        """The connection to a jump host, one for all nodes behind it; nodes that wait for it hold no thread."""
        task = self._jumps.get(jumps)
        if task is None or (task.done() and not _alive(task)):
            task = self._jumps[jumps] = asyncio.get_running_loop().create_task(self._open_jump(jumps, pool))
            task.add_done_callback(_alive)  # looks at the exception, so that asyncio does not complain that nobody did
        return await asyncio.shield(task)

    async def _open_jump(self, jumps: tuple[Target, ...], pool: Executor) -> QuietTransport:
        *before, last = jumps
        sock = await self._socket(before, last, pool)
        handshake = Handshake(last, self._keys, self._settings)
        return await asyncio.get_running_loop().run_in_executor(pool, handshake.run, sock)

    def close(self) -> None:
        for task in self._jumps.values():
            if task.done() and _alive(task):
                task.result().close()
            task.cancel()


def _alive(task: asyncio.Task[QuietTransport]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_active()

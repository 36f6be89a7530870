"""Which machines answer by SSH, what their host keys are, and which of our keys opens them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import paramiko

from beowulf.transport.config import Hop, SettingsFolder
from beowulf.transport.connect import MOST_KEYS, try_key
from beowulf.transport.diagnose import exchange_keys
from beowulf.transport.dial import Dialled, dial
from beowulf.transport.keys import KeyRing, NamedKey, fingerprint, host_key_algorithms, one_line
from beowulf.transport.networks import expand
from beowulf.transport.problem import LinkFailed, ProblemKind
from beowulf.transport.settings import LinkSettings
from beowulf.transport.sockets import SshSocket, TcpEnd
from beowulf.transport.ssh import QuietTransport, deadline

MOST_SOCKETS = 512
MOST_HANDSHAKES = 16
SSH_PORTS = (22,)

# These say that no SSH server is there, which is what most addresses of a network have to say.
NOBODY = (ProblemKind.UNREACHABLE, ProblemKind.UNKNOWN_HOST, ProblemKind.NOT_SSH)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An SSH server that was found. ``opens_with`` is the first of our keys it takes, "" when none; then ``problem``
    tells why, as it does where the server would not talk to the end."""

    host: str
    port: int
    banner: str = ""
    host_key: str = ""
    fingerprint: str = ""
    opens_with: str = ""
    user: str = ""
    problem: str = ""


def discover(
    networks: Sequence[str],
    keys: KeyRing,
    *,
    ports: Sequence[int] = SSH_PORTS,
    users: Sequence[str] = (),
    timeout_s: float = 1.0,
    ssh: SettingsFolder | None = None,
    known: bool = False,
) -> list[Candidate]:
    """The SSH servers among the addresses, in the order of the addresses; blocking. With ``known`` the servers of
    known_hosts and ~/.ssh/config are tried as well. ``timeout_s`` is the patience with a connection; who takes it
    has as long to greet as on a link. A host that was named by itself is listed even when nobody answers.
    Raises BadInput."""
    folder = ssh or SettingsFolder()
    addresses = list(expand(networks, ports))
    if known:
        addresses += [address for address in folder.current().known_addresses() if address not in addresses]
    named = {host for text in networks if "/" not in text for host, _ in expand([text], ports)}
    sweep = _Sweep(keys, folder, tuple(users), timeout_s)
    found = asyncio.run(sweep.all(addresses))
    return [candidate for candidate in found if candidate.banner or candidate.host in named]


class _Sweep:
    def __init__(self, keys: KeyRing, folder: SettingsFolder, users: tuple[str, ...], timeout_s: float) -> None:
        self._keys = keys
        self._ssh = folder.current()
        self._users = users
        self._settings = LinkSettings(connect_s=timeout_s)

    async def all(self, addresses: Sequence[tuple[str, int]]) -> list[Candidate]:
        sockets = asyncio.Semaphore(MOST_SOCKETS)
        found: list[Candidate] = []
        with ThreadPoolExecutor(MOST_HANDSHAKES, "discover") as pool:
            # In slices, so that a /16 does not make 65536 tasks at once.
            for start in range(0, len(addresses), 2 * MOST_SOCKETS):
                slice_ = addresses[start : start + 2 * MOST_SOCKETS]
                found += await asyncio.gather(*(self._one(host, port, sockets, pool) for host, port in slice_))
        return found

    async def _one(self, host: str, port: int, sockets: asyncio.Semaphore, pool: Executor) -> Candidate:
        try:
            async with sockets:
                dialled = await dial(host, port, connect_s=self._settings.connect_s, banner_s=self._settings.banner_s)
        except LinkFailed as error:
            # It does speak, but not to the end: worth a line of its own.
            banner = "" if error.problem.kind in NOBODY else "?"
            return Candidate(host, port, banner=banner, problem=error.problem.sentence)
        return await asyncio.get_running_loop().run_in_executor(pool, self._look, host, port, dialled)

    def _look(self, host: str, port: int, dialled: Dialled) -> Candidate:
        """Host key, then the door, on the same connection where one user suffices."""
        user = self._ssh.user_of(host)
        hop = Hop(host, port, user)
        sock = SshSocket(TcpEnd(dialled.sock), dialled.read)
        try:
            host_key = exchange_keys(sock, hop, self._settings)
        except LinkFailed as error:
            return Candidate(host, port, banner=dialled.banner, problem=error.problem.sentence)
        opened = self._open(hop, host_key)
        return Candidate(host, port, dialled.banner, host_key, fingerprint(host_key), *opened)

    def _open(self, hop: Hop, host_key: str) -> tuple[str, str, str]:
        """(the key that opens, the user it opens for, what is wrong)"""
        choice = self._keys.choose(self._ssh.identity_files_of(hop.host))
        for user in self._users or (hop.user,):
            for start in range(0, len(choice.keys), MOST_KEYS - 1):
                try:
                    opened = self._try(hop, host_key, user, choice.keys[start : start + MOST_KEYS - 1])
                except LinkFailed as error:
                    return "", "", error.problem.sentence
                if opened:
                    return opened, user, ""
        users = " or ".join(self._users or (hop.user,))
        return "", "", f"none of our {len(choice.keys)} keys opens it for {users}"

    def _try(self, hop: Hop, host_key: str, user: str, keys: Sequence[NamedKey]) -> str:
        dialled = asyncio.run(
            dial(hop.host, hop.port, connect_s=self._settings.connect_s, banner_s=self._settings.banner_s)
        )
        transport = QuietTransport(SshSocket(TcpEnd(dialled.sock), dialled.read), host_key_algorithms(host_key))
        try:
            with deadline(transport, self._settings.handshake_s):
                transport.start_client()
                # A public key is no secret, but another server's answer would say nothing about this one.
                if one_line(transport.get_remote_server_key()) != host_key:
                    return ""
                return next((named.name for named in keys if try_key(transport, user, named)), "")
        except (paramiko.SSHException, EOFError, OSError):
            return ""
        finally:
            transport.close()

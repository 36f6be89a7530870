"""From a greeting to an authenticated connection; each way it can fail becomes a Problem."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from beowulf.transport.config import Hop, SshSettings
from beowulf.transport.dial import dial
from beowulf.transport.keys import KeyChoice, KeyRing, NamedKey, fingerprint, host_key_algorithms, one_line
from beowulf.transport.offer import nothing_in_common
from beowulf.transport.problem import LinkFailed, ProblemKind, failed
from beowulf.transport.settings import LinkSettings
from beowulf.transport.sockets import ChannelEnd, SshSocket, TcpEnd
from beowulf.transport.ssh import HOST_KEYS, QuietTransport, deadline

MOST_KEYS = 6  # sshd's MaxAuthTries


@dataclass(frozen=True, slots=True)
class Target:
    """A hop together with what we hold of it. ``host_keys`` empty: refuse, we know none."""

    hop: Hop
    host_keys: tuple[str, ...]
    where_pinned: str  # for the sentence: what holds the key, and the command that changes it
    mend: str


@dataclass(slots=True)
class Handshake:
    """Key exchange, host key check and authentication over one connection; blocking, ends in time."""

    target: Target
    keys: KeyRing
    settings: LinkSettings
    stage: str = field(default="key exchange", init=False)
    opened_with: str = field(default="", init=False)

    def run(self, sock: SshSocket) -> QuietTransport:
        """An authenticated connection. Raises LinkFailed; then the socket is closed."""
        if not self.target.host_keys:
            sock.close()
            raise failed(
                ProblemKind.HOST_KEY_UNKNOWN,
                f"the host key of {self.target.hop} is not known ({self.target.where_pinned})",
                self.target.mend,
            )
        # The pinned type first: a server that still has that key shows it; one that does not shows what replaced it.
        pinned = [name for key in self.target.host_keys for name in host_key_algorithms(key)]
        transport = QuietTransport(sock, tuple(dict.fromkeys([*pinned, *HOST_KEYS])))
        try:
            with deadline(transport, self.settings.handshake_s) as passed:
                self._run(transport, passed.is_set)
            return transport
        except BaseException:
            transport.close()
            sock.close()
            raise

    def _run(self, transport: QuietTransport, timed_out: Callable[[], bool]) -> None:
        try:
            transport.start_client()
            self._check_host_key(transport)
            self.stage = "authentication"
            self._authenticate(transport, timed_out)
        except IncompatiblePeer as error:
            raise nothing_in_common(self._where, transport.offered, transport.accepted()) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._ended(error, timed_out()) from error
        if timed_out():
            raise self._ended(EOFError(), True)

    def _check_host_key(self, transport: QuietTransport) -> None:
        shown = one_line(transport.get_remote_server_key())
        if shown not in self.target.host_keys:
            raise host_key_changed(self.target, shown)

    def _authenticate(self, transport: QuietTransport, timed_out: Callable[[], bool]) -> None:
        hop = self.target.hop
        choice = self.keys.choose(hop.identity_files)
        tried: list[str] = []
        for named in choice.keys[:MOST_KEYS]:
            try:
                tried.append(named.name)
                if try_key(transport, hop.user, named):
                    self.opened_with = named.name
                    return
            except (paramiko.SSHException, EOFError, OSError):
                if timed_out() or len(tried) == 1:
                    raise
                break  # sshd hangs up on too many wrong keys
        raise failed(
            ProblemKind.AUTH_REFUSED,
            f"{hop.host} port {hop.port} lets {hop.user} in with none of our keys ({_listed(tried, choice)})",
            f"add the cluster's public key to ~{hop.user}/.ssh/authorized_keys there",
        )

    @property
    def _where(self) -> str:
        return f"{self.target.hop.host} port {self.target.hop.port}"

    def _ended(self, error: Exception, timed_out: bool) -> LinkFailed:
        if timed_out:
            late = ProblemKind.TIMEOUT_AUTH if self.stage == "authentication" else ProblemKind.TIMEOUT_BANNER
            patience = f"{self.settings.handshake_s:g} s"
            return failed(
                late, f"{self._where} stalled in the {self.stage}; gave up after {patience}", "is it overloaded?"
            )
        said = f" ({error})" if str(error) else ""
        return failed(
            ProblemKind.DROPPED,
            f"{self._where} ended the connection during the {self.stage}{said}",
            "its sshd log tells why; MaxStartups and MaxAuthTries are the usual reasons",
        )


def try_key(transport: paramiko.Transport, user: str, named: NamedKey) -> bool:
    """Does this key open the door? Raises paramiko's errors when the connection breaks."""
    try:
        return transport.auth_publickey(user, named.key) == [] and transport.is_authenticated()
    except paramiko.AuthenticationException:
        if not transport.is_active():
            raise
        return False


def _listed(tried: Sequence[str], choice: KeyChoice) -> str:
    left = [named.name for named in choice.keys if named.name not in tried]
    parts = ["tried " + ", ".join(tried) if tried else "none to try"]
    parts += ["not tried " + ", ".join(left)] if left else []
    return "; ".join([*parts, *choice.skipped])


def host_key_changed(target: Target, shown: str) -> LinkFailed:
    held = ", ".join(fingerprint(key) for key in target.host_keys)
    return failed(
        ProblemKind.HOST_KEY_CHANGED,
        f"the host key of {target.hop.host} port {target.hop.port} changed: {target.where_pinned} has {held}, "
        f"it now shows {fingerprint(shown)} ({shown.split()[0]}); the connection was refused",
        target.mend,
    )


def node_target(hop: Hop, host_key: str) -> Target:
    return Target(
        hop,
        (" ".join(host_key.split()[:2]),) if host_key else (),
        "the cluster's record" if host_key else "none was pinned when it was added",
        "if the machine was reinstalled, check the new fingerprint on its console and run: beowulf nodes rekey NAME",
    )


def jump_target(hop: Hop, ssh: SshSettings) -> Target:
    address = hop.host if hop.port == 22 else f"[{hop.host}]:{hop.port}"
    return Target(
        hop,
        ssh.known_keys(hop.host, hop.port),
        "~/.ssh/known_hosts",
        f"log in there once by hand with ssh, or mend the line of {address} in ~/.ssh/known_hosts",
    )


def through(transport: QuietTransport, hop: Hop, seconds: float) -> ChannelEnd:
    """A channel from a jump host on to the next hop. Raises LinkFailed."""
    try:
        channel = transport.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=seconds)
    except (paramiko.SSHException, EOFError, OSError) as error:
        said = error.text if isinstance(error, paramiko.ChannelException) else str(error)
        raise failed(
            ProblemKind.UNREACHABLE,
            f"the jump host cannot reach {hop.host} port {hop.port} ({said})",
            "is the machine on, and does the jump host's sshd allow TCP forwarding?",
        ) from error
    return ChannelEnd(channel)


@dataclass(frozen=True, slots=True)
class Connection:
    """An authenticated connection with those it goes through."""

    transport: QuietTransport
    through: tuple[QuietTransport, ...] = ()
    opened_with: str = ""

    @property
    def all(self) -> tuple[QuietTransport, ...]:
        return (*self.through, self.transport)

    def close(self) -> None:
        for transport in reversed(self.all):
            transport.close()


def connect(targets: Sequence[Target], keys: KeyRing, settings: LinkSettings) -> Connection:
    """Walk the hops and authenticate at each; blocking. Raises LinkFailed, and then nothing stays open."""
    reached: Connection | None = None
    try:
        for target in targets:
            handshake = Handshake(target, keys, settings)
            transport = handshake.run(open_hop(reached, target.hop, settings))
            reached = Connection(transport, reached.all if reached else (), handshake.opened_with)
    except BaseException:
        if reached:
            reached.close()
        raise
    assert reached is not None, "a route has at least one hop"
    return reached


def open_hop(before: Connection | None, hop: Hop, settings: LinkSettings) -> SshSocket:
    """A socket to a server, from here or from the jump host before it; blocking. Raises LinkFailed."""
    if before:
        return SshSocket(through(before.transport, hop, settings.connect_s))
    dialled = asyncio.run(dial(hop.host, hop.port, connect_s=settings.connect_s, banner_s=settings.banner_s))
    end = TcpEnd(dialled.sock)
    end.die_when_silent(settings.silence_s)
    return SshSocket(end, dialled.read)


def targets_of(ssh: SshSettings, hops: Sequence[Hop], host_key: str) -> tuple[Target, ...]:
    return (*(jump_target(hop, ssh) for hop in hops[:-1]), node_target(hops[-1], host_key))

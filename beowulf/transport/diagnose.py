"""One look at a machine: its host key, or what is wrong with it."""

from __future__ import annotations

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from beowulf.agent import pack
from beowulf.model.node import Endpoint
from beowulf.transport.config import Hop, SshSettings
from beowulf.transport.connect import Connection, connect, jump_target, open_hop, targets_of
from beowulf.transport.keys import KeyRing, fingerprint, one_line
from beowulf.transport.offer import nothing_in_common
from beowulf.transport.problem import LinkFailed, Problem, ProblemKind, failed
from beowulf.transport.settings import LinkSettings
from beowulf.transport.sockets import SshSocket
from beowulf.transport.ssh import HOST_KEYS, QuietTransport, deadline

PATIENCE = LinkSettings()
NO_INTERPRETER = (126, 127)  # what a shell says of a command it cannot run


def scan_host_key(
    endpoint: Endpoint,
    *,
    ssh: SshSettings | None = None,
    keys: KeyRing | None = None,
    settings: LinkSettings = PATIENCE,
) -> tuple[str, str]:
    """The host key (one line) and its SHA256 fingerprint, without logging in there. Raises LinkFailed."""
    ssh = ssh or SshSettings()
    hops = ssh.route(endpoint)
    before = connect([jump_target(hop, ssh) for hop in hops[:-1]], keys or KeyRing(), settings) if hops[1:] else None
    try:
        host_key = exchange_keys(open_hop(before, hops[-1], settings), hops[-1], settings)
    finally:
        if before:
            before.close()
    return host_key, fingerprint(host_key)


def exchange_keys(sock: SshSocket, hop: Hop, settings: LinkSettings) -> str:
    """The host key a server shows; the connection is closed afterwards. Raises LinkFailed."""
    transport = QuietTransport(sock, HOST_KEYS)
    where = f"{hop.host} port {hop.port}"
    try:
        with deadline(transport, settings.handshake_s) as passed:
            transport.start_client()
            return one_line(transport.get_remote_server_key())
    except IncompatiblePeer as error:
        raise nothing_in_common(where, transport.offered, transport.accepted()) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        if passed.is_set():
            raise failed(
                ProblemKind.TIMEOUT_BANNER, f"{where} stalled in the key exchange", "is it overloaded?"
            ) from error
        raise failed(ProblemKind.DROPPED, f"{where} ended the connection during the key exchange ({error})") from error
    finally:
        transport.close()
        sock.close()


def check(
    endpoint: Endpoint,
    host_key: str,
    keys: KeyRing,
    *,
    ssh: SshSettings | None = None,
    settings: LinkSettings = PATIENCE,
) -> Problem | None:
    """Log in once and look for a Python: what is wrong, or None."""
    if endpoint.local:
        return None
    try:
        ssh = ssh or SshSettings()
        connection = connect(targets_of(ssh, ssh.route(endpoint), host_key), keys, settings)
        try:
            code = _bootstrap_code(connection, settings.handshake_s)
        finally:
            connection.close()
    except LinkFailed as error:
        return error.problem
    return None if code not in NO_INTERPRETER else no_python(f"{endpoint.host} port {endpoint.port}")


def no_python(where: str) -> Problem:
    return Problem(
        ProblemKind.NO_PYTHON,
        f"{where} has no Python 3.6 or newer where we look (PATH, /usr/bin, /usr/local/bin, /usr/libexec)",
        "install one there, e.g.: apt-get install python3",
    )


def _bootstrap_code(connection: Connection, seconds: float) -> int:
    """How the agent's start line ends when no agent is sent: it has looked for a Python then. Raises LinkFailed."""
    try:
        with deadline(connection.transport, seconds):
            channel = connection.transport.open_session(timeout=seconds)
            channel.exec_command(pack.bootstrap_command())
            channel.shutdown_write()
            return channel.recv_exit_status()
    except paramiko.ChannelException as error:
        raise session_refused(error) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise failed(ProblemKind.DROPPED, f"the connection ended at the first command ({error})") from error


def session_refused(error: paramiko.ChannelException) -> LinkFailed:
    return failed(
        ProblemKind.MAX_SESSIONS,
        f"sshd lets us in but refuses a session ({error.text})",
        "raise MaxSessions in its sshd_config",
    )

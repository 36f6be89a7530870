"""TCP and the server's first line, without a thread: a host that stalls here costs a socket and nothing more."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

from beowulf.transport.problem import ProblemKind, failed

LONGEST_GREETING = 16384


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection whose greeting was read. ``read`` is everything that came, for paramiko to read again."""

    sock: socket.socket
    banner: str
    read: bytes


async def dial(host: str, port: int, *, connect_s: float, banner_s: float) -> Dialled:
    """Connect and read up to the ``SSH-`` line. Raises LinkFailed."""
    sock = await connect_tcp(host, port, connect_s)
    try:
        async with asyncio.timeout(banner_s):
            return await read_banner(sock, f"{host} port {port}")
    except TimeoutError:
        sock.close()
        raise failed(
            ProblemKind.TIMEOUT_BANNER,
            f"{host} port {port} took the connection but sent no SSH greeting within {banner_s:g} s",
            "is it an SSH port, and is the machine out of memory or processes?",
        ) from None
    except BaseException:
        sock.close()
        raise


async def connect_tcp(host: str, port: int, connect_s: float) -> socket.socket:
    """A connected non-blocking socket to the first of the host's addresses that answers. Raises LinkFailed."""
    where = f"{host} port {port}"
    try:
        async with asyncio.timeout(connect_s):
            return await _connect_any(host, port)
    except socket.gaierror as error:
        raise failed(
            ProblemKind.UNKNOWN_HOST,
            f"the name {host} is not known ({error.strerror})",
            "check its spelling, or use the address",
        ) from error
    except TimeoutError:
        raise failed(
            ProblemKind.UNREACHABLE,
            f"{where} did not answer within {connect_s:g} s",
            "is the machine on, and does a firewall let the head in?",
        ) from None
    except ConnectionRefusedError:
        raise failed(
            ProblemKind.UNREACHABLE,
            f"{where} refused the connection: the machine is up but nothing listens there",
            "is this the right port, and is sshd running?",
        ) from None
    except (OSError, UnicodeError) as error:
        # asyncio's own words are "Connect call failed ('10.0.0.9', 22)"
        said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        hint = "is the machine on, and is the address right?"
        raise failed(ProblemKind.UNREACHABLE, f"{where} cannot be reached ({said})", hint) from error


async def _connect_any(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:  # an address needs no resolver, which may hang
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            return sock
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
    raise last


async def read_banner(sock: socket.socket, where: str) -> Dialled:
    """Raises LinkFailed when the server says something else, or nothing and hangs up."""
    loop = asyncio.get_running_loop()
    read = b""
    while True:
        try:
            piece = await loop.sock_recv(sock, 4096)
        except OSError:
            piece = b""
        read += piece
        banner = ssh_line(read)
        if banner:
            return Dialled(sock, banner, read)
        if not piece:
            raise ended_early(where, read)
        if len(read) > LONGEST_GREETING:
            raise not_ssh(where, read)


def ssh_line(read: bytes) -> str:
    """The ``SSH-…`` line once it is complete; a server may send other lines before it."""
    for line in read.split(b"\n")[:-1]:
        if line.startswith(b"SSH-"):
            return line.rstrip(b"\r").decode(errors="replace")
    return ""


def ended_early(where: str, read: bytes) -> Exception:
    if read and b"MaxStartups" not in read:
        return not_ssh(where, read)
    return failed(
        ProblemKind.DROPPED,
        f"{where} closed the connection before any greeting",
        "sshd does so when too many connections start at once (MaxStartups) or the address is banned",
    )


def not_ssh(where: str, read: bytes) -> Exception:
    said = read.split(b"\n")[0][:60].decode(errors="replace").strip()
    return failed(ProblemKind.NOT_SSH, f"{where} does not speak SSH; it said {said!r}", "is this the right port?")

"""~/.ssh/config and known_hosts: the way to a node, hop by hop."""

from __future__ import annotations

import getpass
import glob
import io
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from beowulf.model.errors import BadInput
from beowulf.model.node import Endpoint
from beowulf.transport.keys import one_line
from beowulf.transport.problem import ProblemKind, failed

DEEPEST = 8  # hops, and files that include each other


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server on the way; ``identity_files`` are tried after the cluster's key."""

    host: str
    port: int
    user: str
    identity_files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


class SshSettings:
    """What ``~/.ssh`` says, read once: ``config`` and ``known_hosts``."""

    def __init__(self, home: Path | None = None, own_user: str = "") -> None:
        self.folder = (home or Path.home()) / ".ssh"
        self.own_user = own_user or getpass.getuser()
        self._config = _read_config(self.folder)
        self._known = paramiko.HostKeys()
        for path in (Path("/etc/ssh/ssh_known_hosts"), self.folder / "known_hosts"):
            if path.is_file():
                self._known.load(str(path))

    def route(self, endpoint: Endpoint) -> tuple[Hop, ...]:
        """The hops to the node, jump hosts first, the node last. Raises LinkFailed on settings we cannot follow."""
        return self._route(endpoint, DEEPEST)

    def _route(self, endpoint: Endpoint, depth: int) -> tuple[Hop, ...]:
        if depth == 0:
            raise failed(
                ProblemKind.BAD_SETTINGS, f"ProxyJump goes in circles at {endpoint.host}", "mend ~/.ssh/config"
            )
        said = self._lookup(endpoint.host)
        jump = endpoint.proxy_jump or str(said.get("proxyjump", "none"))
        if jump == "none" and not endpoint.proxy_jump and said.get("proxycommand"):
            raise failed(
                ProblemKind.BAD_SETTINGS,
                f"{endpoint.host} has a ProxyCommand in ~/.ssh/config, which is not followed",
                "use ProxyJump there, or give the node proxy_jump",
            )
        own_files = (endpoint.identity_file,) if endpoint.identity_file else ()
        hop = Hop(
            host=str(said.get("hostname", endpoint.host)),
            port=endpoint.port if endpoint.port != 22 else int(said.get("port", 22)),
            user=endpoint.user or str(said.get("user", self.own_user)),
            identity_files=(*own_files, *said.get("identityfile", ())),
        )
        return (*self._jumps(jump, depth), hop)

    def _jumps(self, jump: str, depth: int) -> tuple[Hop, ...]:
        if jump == "none":
            return ()
        first, *others = [parse_address(part.strip()) for part in jump.split(",")]
        before = self._route(first, depth - 1)
        return before + tuple(self._route(_direct(other), depth - 1)[-1] for other in others)

    def _lookup(self, host: str) -> paramiko.SSHConfigDict:
        try:
            return self._config.lookup(host)
        except (paramiko.ConfigParseError, paramiko.ssh_exception.CouldNotCanonicalize, ValueError) as error:
            raise failed(ProblemKind.BAD_SETTINGS, f"~/.ssh/config, for {host}: {error}") from error

    def user_of(self, host: str) -> str:
        return str(self._lookup(host).get("user", self.own_user))

    def identity_files_of(self, host: str) -> tuple[str, ...]:
        return tuple(self._lookup(host).get("identityfile", ()))

    def known_keys(self, host: str, port: int) -> tuple[str, ...]:
        """The one-line keys known_hosts holds for a server."""
        found = self._known.lookup(host if port == 22 else f"[{host}]:{port}")
        return tuple(one_line(key) for key in found.values()) if found else ()

    def known_addresses(self) -> tuple[tuple[str, int], ...]:
        """Servers that known_hosts names in the clear, and the hosts of config: where nodes may be found."""
        named = [_bracketed(name) for name in self._known if not name.startswith("|1|")]
        configured = [
            (str(said.get("hostname", name)), int(said.get("port", 22)))
            for name in sorted(self._config.get_hostnames())
            if not any(sign in name for sign in "*?!") and not (said := self._lookup(name)).get("proxyjump")
        ]
        return tuple(dict.fromkeys([*named, *configured]))


class SettingsFolder:
    """``~/.ssh`` as it is now: read again when a file in it changes."""

    def __init__(self, home: Path | None = None, own_user: str = "") -> None:
        self._home = home or Path.home()
        self._own_user = own_user
        self._lock = threading.Lock()
        self._read: tuple[tuple[float, ...], SshSettings] | None = None

    def current(self) -> SshSettings:
        """Raises LinkFailed when config cannot be understood."""
        with self._lock:
            changed = tuple(_changed_at(self._home / ".ssh" / name) for name in ("config", "known_hosts"))
            if self._read is None or self._read[0] != changed:
                try:
                    self._read = (changed, SshSettings(self._home, self._own_user))
                except BadInput as error:
                    raise failed(ProblemKind.BAD_SETTINGS, error.message, error.hint) from error
            return self._read[1]


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def parse_address(text: str) -> Endpoint:
    """``user@host:port`` with the user and the port optional, and IPv6 in brackets."""
    user, _, rest = text.rpartition("@")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    else:
        host, port = rest, ""
    if not host or (port and not port.isdecimal()) or not 0 < int(port or 22) < 65536:
        raise BadInput(f"{text!r} is not an address", hint="write user@host:port")
    return Endpoint(host=host, port=int(port or 22), user=user)


def _direct(endpoint: Endpoint) -> Endpoint:
    return Endpoint(host=endpoint.host, port=endpoint.port, user=endpoint.user, proxy_jump="none")


def _bracketed(name: str) -> tuple[str, int]:
    if name.startswith("["):
        host, _, port = name[1:].partition("]:")
        return host, int(port) if port.isdecimal() else 22
    return name, 22


def _read_config(folder: Path) -> paramiko.SSHConfig:
    path = folder / "config"
    config = paramiko.SSHConfig()
    if path.is_file():
        try:
            config.parse(io.StringIO("\n".join(_lines(path, folder, DEEPEST))))
        except paramiko.ConfigParseError as error:
            raise BadInput(str(error), where=str(path)) from error
    return config


def _lines(path: Path, folder: Path, depth: int) -> Iterator[str]:
    """The file's lines with every Include in place, because paramiko does not know Include."""
    for line in path.read_text(errors="replace").splitlines():
        words = line.strip().replace("=", " ", 1).split(None, 1)
        if depth and len(words) == 2 and words[0].lower() == "include":
            for pattern in shlex.split(words[1]):
                expanded = folder.parent / pattern[2:] if pattern.startswith("~/") else folder / pattern
                for included in sorted(glob.glob(str(expanded))):
                    yield from _lines(Path(included), folder, depth - 1)
        else:
            yield line

"""Keys: the cluster's own, those of the person who runs the head, and what a host key looks like in one line."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko.agent import AgentSSH

AGENT_S = 2.0
DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True)
class NamedKey:
    name: str  # the file's path, or "ssh-agent: comment"
    key: paramiko.PKey


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """The keys to try, in order, and why others are left out, as sentences."""

    keys: tuple[NamedKey, ...]
    skipped: tuple[str, ...] = ()


def fingerprint(host_key: str) -> str:
    """``SHA256:…`` of a one-line key, as ssh-keygen prints it."""
    blob = base64.b64decode(host_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def one_line(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def host_key_algorithms(host_key: str) -> tuple[str, ...]:
    """What to offer so that the server shows the key of this type and no other."""
    kind = host_key.split()[0]
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def generate_key(path: Path, comment: str = "beowulf") -> str:
    """Make an ed25519 key pair at ``path`` (0600) and ``path.pub`` unless it is there; → the public line."""
    if not path.exists():
        text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        # Written aside and linked into place: a crash leaves no half key, and a second head keeps the first one's.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    line = f"{public_line(path)} {comment}"
    path.with_name(path.name + ".pub").write_text(line + "\n")
    return line


def public_line(path: Path) -> str:
    return one_line(paramiko.PKey.from_path(path))


class KeyRing:
    """Which keys may open a node. Files are read once and again when they change."""

    def __init__(self, cluster_key: Path | None = None, *, home: Path | None = None, use_agent: bool = True) -> None:
        self.cluster_key = cluster_key
        self._home = home or Path.home()
        self._use_agent = use_agent
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, NamedKey | str]] = {}

    def choose(self, identity_files: Sequence[str] = ()) -> KeyChoice:
        """The cluster's key first, then the named files, ssh-agent's keys, and the usual ones in ~/.ssh."""
        own = [str(self.cluster_key)] if self.cluster_key else []
        named = [str(self._expand(name)) for name in identity_files]
        usual = [str(self._home / ".ssh" / name) for name in DEFAULT_NAMES]
        skipped: list[str] = []
        keys: list[NamedKey] = []
        for path in dict.fromkeys([*own, *named]):
            self._take(path, keys, skipped, missing_matters=True)
        keys += self._from_agent()
        for path in usual:
            if path not in own + named:
                self._take(path, keys, skipped, missing_matters=False)
        unique = {named_key.key.asbytes(): named_key for named_key in reversed(keys)}
        return KeyChoice(tuple(reversed(unique.values())), tuple(skipped))

    def _expand(self, name: str) -> Path:
        return self._home / name[2:] if name.startswith("~/") else Path(name)

    def _take(self, path: str, keys: list[NamedKey], skipped: list[str], *, missing_matters: bool) -> None:
        try:
            changed = os.stat(path).st_mtime
        except OSError as error:
            if missing_matters:
                skipped.append(f"{path}: {error.strerror}")
            return
        with self._lock:
            known = self._read.get(path)
            if known is None or known[0] != changed:
                known = self._read[path] = (changed, _load(path))
        if isinstance(known[1], str):
            skipped.append(known[1])
        else:
            keys.append(known[1])

    def _from_agent(self) -> list[NamedKey]:
        place = os.environ.get("SSH_AUTH_SOCK")
        if not self._use_agent or not place:
            return []
        try:
            return [NamedKey(f"ssh-agent: {key.comment}", key) for key in PatientAgent(place).get_keys()]
        except (paramiko.SSHException, OSError):
            return []


class PatientAgent(AgentSSH):
    """The agent of the session that started the head may be a forwarded one, whose other end sleeps: it then takes
    connections and never answers, and every handshake of every node would wait for it."""

    def __init__(self, place: str) -> None:
        super().__init__()
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(AGENT_S)
        line.connect(place)
        self._connect(line)  # type: ignore[attr-defined]  # which the stubs leave out


def _load(path: str) -> NamedKey | str:
    try:
        return NamedKey(path, paramiko.PKey.from_path(path))
    except (paramiko.PasswordRequiredException, TypeError):
        return f"{path}: protected by a password; load it into ssh-agent"
    except (paramiko.SSHException, OSError, ValueError) as error:
        return f"{path}: not a usable private key ({error})"

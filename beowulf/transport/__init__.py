"""How the head reaches its nodes: SSH by paramiko, or a pipe; host keys pinned; discovery of machines."""

from beowulf.transport.bulk import BulkChannel
from beowulf.transport.config import SettingsFolder, SshSettings
from beowulf.transport.diagnose import check, scan_host_key
from beowulf.transport.discover import Candidate, discover
from beowulf.transport.event import Beat, LinkDown, LinkEvent, LinkUp, Received
from beowulf.transport.fleet import Fleet
from beowulf.transport.keys import KeyRing, fingerprint, generate_key, public_line
from beowulf.transport.passages import Passages
from beowulf.transport.problem import LinkFailed, Problem, ProblemKind
from beowulf.transport.settings import LinkSettings

__all__ = [
    "Beat",
    "BulkChannel",
    "Candidate",
    "Fleet",
    "KeyRing",
    "LinkDown",
    "LinkEvent",
    "LinkFailed",
    "LinkSettings",
    "LinkUp",
    "Passages",
    "Problem",
    "ProblemKind",
    "Received",
    "SettingsFolder",
    "SshSettings",
    "check",
    "discover",
    "fingerprint",
    "generate_key",
    "public_line",
    "scan_host_key",
]

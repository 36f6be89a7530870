"""What people may ask of the controller. Each is answered after the commit, or refused with an error of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from beowulf.model.cloud import MachineId
from beowulf.model.job import JobId, JobSpec
from beowulf.model.node import Endpoint, NodeId, Profile


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the socket's peer credentials. Admins are root and the user the daemon runs as."""

    user: str
    uid: int
    admin: bool


@dataclass(frozen=True, slots=True)
class Submit:
    """→ the job's id. The same key with the same digest answers with the job it made; with another, `Refused`."""

    caller: Caller
    spec: JobSpec
    array: tuple[int, ...] = ()
    key: str = ""
    key_digest: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """→ the ids it concerned (an array's id means all its tasks). Owner or admin only."""

    caller: Caller
    job_id: JobId


@dataclass(frozen=True, slots=True)
class AddNode:
    """→ the node's id. ``host_key`` was shown to the admin and accepted; ``""`` only for local nodes."""

    caller: Caller
    node: NodeId
    endpoint: Endpoint
    host_key: str
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    site: str = "lab"
    max_cpus: int = 0
    max_memory_mib: int = 0
    share_gpus: int = 1
    share_between_users: bool = False


@dataclass(frozen=True, slots=True)
class RemoveNode:
    caller: Caller
    node: NodeId


@dataclass(frozen=True, slots=True)
class DrainNode:
    caller: Caller
    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeNode:
    caller: Caller
    node: NodeId


@dataclass(frozen=True, slots=True)
class RekeyNode:
    caller: Caller
    node: NodeId
    host_key: str


@dataclass(frozen=True, slots=True)
class RecordProfile:
    """What was measured just now; devices and lines of peers that were not measured this time stay as they were."""

    caller: Caller
    node: NodeId
    profile: Profile


@dataclass(frozen=True, slots=True)
class TerminateMachine:
    """→ its state then. Without ``at_once`` what runs there may end first. Admin only."""

    caller: Caller
    machine: MachineId
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class CollectMachines:
    """Compare every cloud's list with the store now. → the head's time: lists that begin later count. Admin only."""

    caller: Caller


@dataclass(frozen=True, slots=True)
class BringHome:
    """So many bytes are about to come home from a rented machine. → "" once they are counted, or why they may not."""

    machine: MachineId
    size_bytes: int


Command: TypeAlias = (
    Submit
    | Cancel
    | AddNode
    | RemoveNode
    | DrainNode
    | ResumeNode
    | RekeyNode
    | RecordProfile
    | TerminateMachine
    | CollectMachines
    | BringHome
)

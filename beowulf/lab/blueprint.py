"""A lab as one frozen value: every name, address and path it will ever have, worked out before anything is made."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from beowulf.lab.topology import Gpu, HostSettings, Topology
from beowulf.model.errors import BadInput

Kind = Literal["root", "user", "plain"]
DEFAULT_SUBNET = "10.77.0.0/16"
FIRST_HOST = 11
PERIOD_US = 20_000  # 100 ms, the kernel's default, makes communication come in bursts


@dataclass(frozen=True)
class HostPlan:
    name: str
    index: int  # from 1
    address: str
    port: int
    user: str
    namespace: str  # name of the network namespace; "" without root
    link: str  # the switch's end of its cable; "" without root
    rate_bits: int | None
    cores: tuple[int, ...]  # () for all
    cpu_quota_us: int | None  # per PERIOD_US
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True)
class Blueprint:
    name: str
    folder: str
    token: str
    kind: Kind
    subnet: str  # "" without root
    gateway: str
    switch: str  # name of the network namespace that is the switch
    link: str  # the head's end of its cable
    cgroup: str  # folder of this lab's CPU cgroups; "" where there are none
    hide: tuple[str, ...]
    hosts: tuple[HostPlan, ...]
    notes: tuple[str, ...] = field(default=())  # what was asked for and cannot be had, with the reason


@dataclass(frozen=True)
class Machine:
    """What the machine under the lab has."""

    cores: tuple[int, ...]
    cgroup: str  # where CPU shares can be set; "" with the reason below
    cgroup_absent: str
    user: str
    hide: tuple[str, ...]


def token_of(folder: Path) -> str:
    """Six characters that tell this lab's links and namespaces from every other's."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:6]


def draw_root(name: str, folder: Path, topology: Topology, machine: Machine, subnet: str) -> Blueprint:
    """A lab of namespace hosts behind one bridge. Raises BadInput when the hosts do not fit into ``subnet``."""
    network = _network(subnet, len(topology.hosts))
    token = token_of(folder)
    hosts, notes = [], []
    for index, (host, settings) in enumerate(topology.hosts.items(), start=1):
        cores, quota, missing = _processor(host, index, settings, machine)
        notes += missing
        hosts.append(
            HostPlan(
                name=host,
                index=index,
                address=str(network[FIRST_HOST - 1 + index]),
                port=22,
                user=settings.user,
                namespace=f"{name}-{token}-{host}",
                link=f"port{index}",
                rate_bits=settings.link,
                cores=cores,
                cpu_quota_us=quota,
                gpus=settings.gpus,
            )
        )
    return Blueprint(
        name=name,
        folder=str(folder),
        token=token,
        kind="root",
        subnet=str(network),
        gateway=str(network[1]),
        switch=f"{name}-{token}",
        link=f"bw-{token}",
        cgroup=f"{machine.cgroup}/beowulf-{token}" if any(host.cpu_quota_us for host in hosts) else "",
        hide=(*machine.hide, *topology.hide),
        hosts=tuple(hosts),
        notes=tuple(notes),
    )


def draw_user(
    name: str, folder: Path, topology: Topology, machine: Machine, port: int, kind: Literal["user", "plain"]
) -> Blueprint:
    """A lab of sshd's that an ordinary user runs on 127.0.0.2, .3, … at one port."""
    hosts, notes = [], []
    for index, (host, settings) in enumerate(topology.hosts.items(), start=1):
        cores, _, missing = _processor(host, index, settings, machine)
        notes += [*missing, *_without_root(host, settings, machine, kind)]
        hosts.append(
            HostPlan(
                name=host,
                index=index,
                address=f"127.0.0.{index + 1}",
                port=port,
                user=machine.user,
                namespace="",
                link="",
                rate_bits=None,
                cores=cores,
                cpu_quota_us=None,
                gpus=settings.gpus if kind == "user" else (),
            )
        )
    return Blueprint(
        name=name,
        folder=str(folder),
        token=token_of(folder),
        kind=kind,
        subnet="",
        gateway="",
        switch="",
        link="",
        cgroup="",
        hide=(*machine.hide, *topology.hide),
        hosts=tuple(hosts),
        notes=tuple(notes),
    )


def _processor(
    host: str, index: int, settings: HostSettings, machine: Machine
) -> tuple[tuple[int, ...], int | None, list[str]]:
    """Which cores the host shows, its CPU quota, and what of it cannot be had."""
    notes: list[str] = []
    cores: tuple[int, ...] = ()
    count = settings.cores
    have = len(machine.cores)
    if count is not None and count > have:
        notes.append(f"{host}: shows all {have} cores, since this machine has no {count}")
    elif count is not None and count < have:
        # Spread over the machine, so that small hosts do not all crowd onto its first core.
        cores = tuple(sorted(machine.cores[((index - 1) * count + offset) % have] for offset in range(count)))
    if settings.cpu_share is None:
        return cores, None, notes
    if not machine.cgroup:
        return cores, None, [*notes, f"{host}: no CPU share of {settings.cpu_share:g}: {machine.cgroup_absent}"]
    quota = max(1_000, round(settings.cpu_share * (len(cores) or have) * PERIOD_US))
    return cores, quota, notes


def _without_root(host: str, settings: HostSettings, machine: Machine, kind: str) -> list[str]:
    notes = []
    if settings.link is not None:
        notes.append(f"{host}: no link rate: a lab without root shares the loopback interface")
    if settings.user not in ("root", machine.user):
        notes.append(f"{host}: runs as {machine.user}, not as {settings.user}: only root can be another user")
    if settings.gpus and kind == "plain":
        notes.append(f"{host}: no fake GPUs: they need a mount namespace, which this kernel does not let users make")
    return notes


def _network(subnet: str, count: int) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise BadInput(str(error), where="--subnet") from None
    if network.num_addresses < FIRST_HOST + count + 1:
        raise BadInput(f"{subnet} has no room for {count} hosts", where="--subnet")
    return network


def free_subnet(taken: Sequence[str]) -> str:
    """The first 10.77.x.0/24 that overlaps nothing in ``taken``. Raises BadInput when all are in use."""
    networks = [ipaddress.ip_network(text, strict=False) for text in taken]
    for candidate in ipaddress.IPv4Network(DEFAULT_SUBNET).subnets(new_prefix=24):
        if not any(isinstance(other, ipaddress.IPv4Network) and candidate.overlaps(other) for other in networks):
            return str(candidate)
    raise BadInput(f"no free /24 is left in {DEFAULT_SUBNET}", where="--subnet", hint="choose one with --subnet")

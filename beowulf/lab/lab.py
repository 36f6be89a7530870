"""The virtual lab: real sshd hosts on one machine, with cables and power switches."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from beowulf.lab import boot, hosts, making, network, processes
from beowulf.lab.blueprint import PERIOD_US, Blueprint, HostPlan, Kind
from beowulf.lab.making import Wish, bring_up, public_key, take_down
from beowulf.lab.perform import asks, perform, program
from beowulf.lab.state import State, lab_folder, locked, read_state, write_state
from beowulf.lab.topology import Topology, load_topology, with_count
from beowulf.model.errors import NotFound, Refused

DEFAULT_NAME = "lab"
HEAD = "head"


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    port: int
    user: str
    identity_file: str
    host_key: str  # "ssh-ed25519 AAAA…"
    pid: int | None  # its first process, as the machine counts; None while its power is off


@dataclass(frozen=True)
class HostStatus:
    name: str
    address: str
    port: int
    power: bool
    link: bool
    cores: int
    cpu: float  # cores' worth of time it may use
    rate_bits: int | None
    gpus: tuple[str, ...]
    processes: int
    apart_from: tuple[str, ...]


class Lab:
    """A lab that is up. All state is on disk, so any process may hold one."""

    def __init__(self, state: State) -> None:
        self._state = state

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_NAME,
        nodes: int | None = None,
        topology: Topology | Path | str | None = None,
        *,
        subnet: str | None = None,
        labs: Path | None = None,
        authorized_keys: Sequence[Path] = (),
        kind: Kind | None = None,
    ) -> Lab:
        """Brings the lab up and comes back when every sshd listens. What an earlier ``up`` left is cleared first; a lab
        that is up just as asked for stays: dead hosts are switched on, cables plugged in, partitions healed.

        ``labs`` is the folder of all labs (default ``$BEOWULF_LAB``, else ``~/.local/state/beowulf-lab``). Raises
        BadInput, Refused (a program or a right is missing) and BeowulfError.
        """
        wish = Wish(
            name=name,
            folder=lab_folder(name, labs),
            topology=with_count(_topology(topology), nodes),
            subnet=subnet,
            kind=kind,
            public_keys=tuple(public_key(path) for path in authorized_keys),
        )
        return cls(bring_up(wish))

    @classmethod
    def load(cls, name: str = DEFAULT_NAME, labs: Path | None = None) -> Lab:
        """The lab of that name. Raises NotFound when there is none that is up."""
        folder = lab_folder(name, labs)
        state = read_state(folder)
        if state is None:
            raise NotFound(f"there is no lab {name!r} in {folder.parent}", hint="beowulf lab up")
        if state.phase != "up":
            raise Refused(f"lab {name!r} is half made", hint="beowulf lab up, or beowulf lab down")
        return cls(state)

    @property
    def blueprint(self) -> Blueprint:
        return self._state.blueprint

    @property
    def folder(self) -> Path:
        return Path(self.blueprint.folder)

    @property
    def inventory_file(self) -> Path:
        return self.folder / "lab.yaml"

    @property
    def hosts(self) -> Mapping[str, Host]:
        return {plan.name: self._host(plan) for plan in self.blueprint.hosts}

    def _host(self, plan: HostPlan) -> Host:
        init = hosts.init_of(self.blueprint, plan)
        return Host(
            name=plan.name,
            address=plan.address,
            port=plan.port,
            user=plan.user,
            identity_file=str(hosts.key_file(self.blueprint, hosts.LAB_KEY)),
            host_key=hosts.host_key(self.blueprint, plan),
            pid=init.pid if init is not None and init.alive() else None,
        )

    def down(self, *, purge: bool = False) -> None:
        """Leaves no process, namespace, link, mount or cgroup; ``purge`` removes its keys as well. Idempotent."""
        take_down(self.folder, purge=purge)

    def status(self) -> list[HostStatus]:
        lab = self.blueprint
        ports = network.ports_up(asks(network.ports(lab).argv).stdout) if lab.switch else frozenset()
        return [self._status(plan, plan.link in ports or not plan.link) for plan in lab.hosts]

    def _status(self, plan: HostPlan, link: bool) -> HostStatus:
        cores = len(plan.cores) or (os.cpu_count() or 1)
        pairs = self._current().partitions
        apart = {other for pair in pairs for other in pair if plan.name in pair and other != plan.name}
        return HostStatus(
            name=plan.name,
            address=plan.address,
            port=plan.port,
            power=self._host(plan).pid is not None,
            link=link,
            cores=cores,
            cpu=cores if plan.cpu_quota_us is None else plan.cpu_quota_us / PERIOD_US,
            rate_bits=plan.rate_bits,
            gpus=tuple(f"{gpu.count}×{gpu.kind if gpu.fake else 'real'}" for gpu in plan.gpus),
            processes=len(self.processes(plan.name)),
            apart_from=tuple(sorted(apart)),
        )

    def power_off(self, name: str) -> None:
        """A true power cut: every process of the host dies at once, and its link goes down."""
        plan = self._plan(name)
        with self._locked() as lock:
            if plan.link:
                perform([network.set_link(self.blueprint, plan, False)], lock)
            hosts.switch_off(self.blueprint, plan)

    def power_on(self, name: str) -> None:
        """The host boots again: same disk, keys and address, new boot id. Comes back when its sshd listens."""
        plan = self._plan(name)
        with self._locked() as lock:
            if plan.link:
                perform([network.set_link(self.blueprint, plan, True)], lock)
            making.switch_on(self._current(), [plan], lock)

    def link_down(self, name: str) -> None:
        self._set_link(name, False)

    def link_up(self, name: str) -> None:
        self._set_link(name, True)

    def _set_link(self, name: str, up: bool) -> None:
        plan = self._plan(name)
        self._needs_cables("links cannot be switched")
        with self._locked() as lock:
            perform([network.set_link(self.blueprint, plan, up)], lock)

    def partition(self, one: str, other: str) -> None:
        """Nothing passes between the two any more, and nobody is told. ``head`` stands for this machine."""
        first, second = (None if name == HEAD else self._plan(name) for name in (one, other))
        self._needs_cables("hosts cannot be parted")
        if one == other:
            raise Refused(f"{one} cannot be parted from itself")
        with self._locked() as lock:
            state = self._current()
            pairs = tuple(sorted({*state.partitions, (min(one, other), max(one, other))}))
            write_state(self.folder, replace(state, partitions=pairs))
            perform(network.cut(self.blueprint, first, second), lock)

    def heal(self) -> None:
        """Ends all partitions."""
        self._needs_cables("hosts were never parted")
        with self._locked() as lock:
            perform([network.heal(self.blueprint, plan) for plan in (None, *self.blueprint.hosts)], lock)
            write_state(self.folder, replace(self._current(), partitions=()))

    def processes(self, name: str) -> list[tuple[int, str]]:
        """(pid, command line) of everything that lives on the host, counted from outside it."""
        lab, plan = self.blueprint, self._plan(name)
        return processes.on_host(hosts.init_of(lab, plan), plan.namespace, hosts.mark_of(lab, plan))

    def run(self, name: str, argv: Sequence[str], *, timeout: float = 150) -> subprocess.CompletedProcess[str]:
        """Runs ``argv`` on the host without going through its sshd. Raises Refused when the host is off."""
        lab, plan = self.blueprint, self._plan(name)
        init = hosts.init_of(lab, plan)
        if init is None or not init.alive():
            raise Refused(f"host {name} is off", hint=f"beowulf lab power-on {name}")
        words = (*hosts.inside(lab, plan, init), *argv)
        environment = {**boot.CLEAN_ENVIRONMENT, "HOME": hosts.account_of(lab, plan).home}
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout, env=environment)

    def ssh_command(self, name: str, *command: str) -> tuple[str, ...]:
        """The ssh command line that reaches the host with the lab's own key, its host key pinned."""
        host = self._host(self._plan(name))
        known = self.folder / "known_hosts"
        options = ("BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes")
        chosen = tuple(word for option in options for word in ("-o", option))
        return (program("ssh"), "-F", "none", *chosen, "-i", host.identity_file, "-p", str(host.port),
                f"{host.user}@{host.address}", *command)  # fmt: skip

    def _plan(self, name: str) -> HostPlan:
        for plan in self.blueprint.hosts:
            if plan.name == name:
                return plan
        names = ", ".join(plan.name for plan in self.blueprint.hosts)
        raise NotFound(f"lab {self.blueprint.name!r} has no host {name!r} ({names})")

    def _current(self) -> State:
        return read_state(self.folder) or self._state

    def _locked(self) -> AbstractContextManager[int]:
        return locked(self.folder / "lock")

    def _needs_cables(self, what: str) -> None:
        if self.blueprint.kind != "root":
            raise Refused(f"{what} in a lab without root: its hosts share the loopback interface")


def _topology(given: Topology | Path | str | None) -> Topology:
    if given is None or isinstance(given, Topology):
        return given or Topology()
    return load_topology(Path(given))

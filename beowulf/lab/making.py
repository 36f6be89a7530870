"""From nothing to a lab and back. A crash may come after any step: the next ``up`` or ``down`` goes on from there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from beowulf.lab import hosts, network, survey
from beowulf.lab.blueprint import Blueprint, HostPlan, Kind, draw_root, draw_user, free_subnet, token_of
from beowulf.lab.inventory import inventory, known_hosts
from beowulf.lab.perform import attempt, perform, program
from beowulf.lab.state import State, locked, read_state, write_file, write_state
from beowulf.lab.topology import Topology
from beowulf.model.errors import BadInput, Refused

# Only one lab at a time may look for a free subnet and take it.
MACHINE_LOCK = Path("/run/lock/beowulf-lab.lock")
ROOT_PROGRAMS = ("sshd", "ip", "tc", "nsenter", "unshare")
USER_PROGRAMS = ("sshd", "nsenter", "unshare")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Wish:
    name: str
    folder: Path
    topology: Topology
    subnet: str | None
    kind: Kind | None
    public_keys: tuple[str, ...]


def bring_up(wish: Wish) -> State:
    """The lab as wished, running. One that already runs so is kept; any other of that name is cleared first."""
    with locked(wish.folder / "lock") as lock:
        before = read_state(wish.folder)
        if before is not None:
            if before.phase == "up" and _draw(wish, before.blueprint) == before.blueprint:
                return _complete(before, wish, lock)
            _unmake(before.blueprint, lock)
        with _machine_lock():
            lab = _draw(wish, before.blueprint if before is not None and _still_free(before.blueprint) else None)
            state = State(version=1, phase="making", blueprint=lab, public_keys=wish.public_keys)
            write_state(wish.folder, state)
            if lab.kind == "root":
                perform(network.make_switch(lab), lock)
        try:
            _make(state, lock)
        except BaseException:
            _unmake(lab, lock)
            raise
        state = replace(state, phase="up")
        write_state(wish.folder, state)
        return state


def take_down(folder: Path, *, purge: bool) -> bool:
    """Whether there was a lab. Its keys stay, unless ``purge``, so that its next life has the same identity."""
    if not folder.exists():
        return False
    with locked(folder / "lock") as lock:
        state = read_state(folder)
        if state is not None:
            _unmake(state.blueprint, lock)
        if purge:
            shutil.rmtree(folder)
        return state is not None


def switch_on(state: State, plans: Sequence[HostPlan], lock: int) -> None:
    """Boots those that are off. Comes back when every sshd listens. Raises Refused for another user's lab."""
    lab, public_keys = state.blueprint, authorized(state)
    owner = os.stat(lab.folder).st_uid
    if owner != os.geteuid():
        raise Refused(f"lab {lab.name!r} belongs to the user with the number {owner}")

    def start(plan: HostPlan) -> None:
        init = hosts.init_of(lab, plan)
        if init is None or not init.alive():
            hosts.furnish(lab, plan, public_keys)
            hosts.switch_on(lab, plan, lock)

    _for_each(start, plans)
    _for_each(lambda plan: hosts.await_sshd(lab, plan), plans)


def authorized(state: State) -> list[str]:
    """The lab's own key, those given, and the head's when it has one already."""
    own = hosts.key_file(state.blueprint, hosts.LAB_KEY + ".pub").read_text(encoding="ascii").strip()
    keys = [own, *state.public_keys]
    head = survey.head_folder() / "id_ed25519.pub"
    return list(dict.fromkeys([*keys, *([public_key(head)] if head.is_file() else [])]))


def public_key(path: Path) -> str:
    """The one line of a public key file. Raises BadInput, also for a private key."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from None
    if "PRIVATE KEY" in text or "\n" in text or not text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise BadInput("is not a public key", where=str(path), hint="give the file that ends in .pub")
    return text


def _draw(wish: Wish, before: Blueprint | None) -> Blueprint:
    """``before`` lends its subnet or port, so that the same wish draws the same lab."""
    kind, reason = (wish.kind, "") if wish.kind else survey.kind_here()
    for name in ROOT_PROGRAMS if kind == "root" else USER_PROGRAMS:
        program(name)
    before = before if before is not None and before.kind == kind else None
    machine = survey.machine(wish.folder.parent)
    if kind == "root":
        subnet = wish.subnet or (before.subnet if before else "") or free_subnet(survey.taken_subnets())
        return draw_root(wish.name, wish.folder, wish.topology, machine, subnet)
    addresses = [f"127.0.0.{number + 2}" for number in range(len(wish.topology.hosts))]
    port = before.hosts[0].port if before else survey.free_port(token_of(wish.folder), addresses)
    lab = draw_user(wish.name, wish.folder, wish.topology, machine, port, kind)
    return replace(lab, notes=(*([reason] if reason else []), *lab.notes))


def _still_free(before: Blueprint) -> bool:
    """Whether a lab that was just removed may come back at its old addresses, where a head looks for its hosts."""
    if before.kind == "root":
        return before.subnet not in survey.taken_subnets()
    return survey.all_free(before.hosts[0].port, [plan.address for plan in before.hosts])


def _complete(state: State, wish: Wish, lock: int) -> State:
    lab = state.blueprint
    if lab.kind == "root":
        perform([network.plug_all(lab)], lock)
        if state.partitions:
            perform([network.heal(lab, plan) for plan in (None, *lab.hosts)], lock)
    state = replace(state, partitions=(), public_keys=wish.public_keys or state.public_keys)
    write_state(wish.folder, state)
    switch_on(state, lab.hosts, lock)
    return state


def _make(state: State, lock: int) -> None:
    lab = state.blueprint
    names = [hosts.LAB_KEY, *(plan.name for plan in lab.hosts)]
    _for_each(lambda name: hosts.make_key(lab, name), names)
    if lab.kind == "root":
        _for_each(lambda plan: perform(network.make_cable(lab, plan), lock), lab.hosts)
    switch_on(state, lab.hosts, lock)
    folder = Path(lab.folder)
    write_file(folder / "lab.yaml", inventory(lab))
    write_file(folder / "known_hosts", known_hosts(lab))


def _unmake(lab: Blueprint, lock: int) -> None:
    """Removes whatever of the lab is there. Processes first: they hold all the rest."""
    _for_each(lambda plan: hosts.switch_off(lab, plan), lab.hosts)
    if lab.kind == "root":
        attempt(network.remove_network(lab), lock)
    hosts.remove_cgroups(lab)
    folder = Path(lab.folder)
    shutil.rmtree(folder / "hosts", ignore_errors=True)
    for name in ("lab.yaml", "known_hosts", "state.json"):  # the state last: without it nobody would look again
        (folder / name).unlink(missing_ok=True)


def _for_each(work: Callable[[Item], object], items: Sequence[Item]) -> None:
    """All at once; the first error is raised when every one has ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(work, item) for item in items]:
            future.result()


@contextmanager
def _machine_lock() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    with locked(MACHINE_LOCK):
        yield

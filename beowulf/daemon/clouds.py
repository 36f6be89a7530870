"""Calls the providers in threads of their own: no commit waits for a network, and no call is made inside one."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from beowulf.burst.intents import Minted
from beowulf.cloud import registry
from beowulf.cloud.provider import Instance, Provider
from beowulf.cloud.requests import build_request, digest, template_of
from beowulf.controller.failpoint import failpoint
from beowulf.controller.inputs import FromNodes
from beowulf.controller.rented import (
    CreateMachine,
    DestroyMachine,
    ForgetKey,
    ListMachines,
    MachineCreated,
    MachineDestroyed,
    MachinesListed,
)
from beowulf.model.cloud import Machine, MachineId, Market, Offer
from beowulf.model.errors import BeowulfError, CloudError, LaunchRefused, NotFound, TokenSpent, Unclear
from beowulf.model.renting import Cloud, Renting
from beowulf.model.snapshot import Snapshot
from beowulf.transport import generate_key

log = structlog.get_logger("clouds")

THREADS = 16


class Clouds:
    """``keys``: the folder of host keys that machines on their way are to have."""

    def __init__(
        self,
        renting: Renting,
        cluster: str,
        keys: Path,
        authorized_key: str,
        post: Callable[[FromNodes], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clouds: Mapping[str, Cloud] = {cloud.name: cloud for cloud in renting.clouds}
        self._cluster = cluster
        self._keys = keys
        self._authorized_key = authorized_key
        self._post = post
        self._clock = clock
        self._providers: dict[str, Provider] = {}
        self._building = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cloud")

    def mint(self, machine: MachineId, offer: Offer, market: Market) -> Minted:
        """A key of an earlier attempt with this number, which was never committed, is replaced."""
        self._keys.mkdir(mode=0o700, exist_ok=True)
        self.forget(machine)
        cloud = self._clouds[offer.provider]
        public = " ".join(generate_key(self._keys / machine, machine).split()[:2])
        parameters = digest(machine, offer, market, cloud, template_of(cloud), public)
        return Minted(secrets.token_hex(16), public, parameters)

    def forget(self, machine: MachineId) -> None:
        for name in (machine, f"{machine}.pub"):
            with suppress(OSError):  # one that stays a while longer harms nobody
                (self._keys / name).unlink()

    def perform(self, action: CreateMachine | DestroyMachine | ListMachines | ForgetKey, snapshot: Snapshot) -> None:
        match action:
            case CreateMachine():
                self._pool.submit(self._create, snapshot.machines[action.machine])
            case DestroyMachine():
                self._pool.submit(self._destroy, action)
            case ListMachines():
                live = (one for one in snapshot.machines.values() if one.live and one.offer.provider == action.provider)
                self._pool.submit(self._list, action, frozenset(one.offer.region for one in live) - {""})
            case ForgetKey():
                self.forget(action.machine)

    def check(self, name: str = "") -> list[dict[str, Any]]:
        """What each cloud, or one, says of us: `Check`s as dicts, each with its ``cloud``."""
        if name and name not in self._clouds:
            raise NotFound(f"there is no cloud {name} (known: {', '.join(sorted(self._clouds)) or 'none'})")
        return [line for one in ([name] if name else sorted(self._clouds)) for line in self._check(one)]

    def _check(self, name: str) -> list[dict[str, Any]]:
        try:
            return [{"cloud": name, **asdict(check)} for check in self._provider(name).check()]
        except BeowulfError as error:
            return [{"cloud": name, "what": "login", "ok": False, "detail": error.message, "remedy": error.hint}]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _provider(self, name: str) -> Provider:
        """Raises `Unclear` for a cloud that machines were rented from and that is configured no more."""
        with self._building:
            if name not in self._providers:
                if name not in self._clouds:
                    raise Unclear(
                        f"cloud {name} is not in the settings any more", hint="put it back to end its machines"
                    )
                self._providers[name] = registry.build(self._clouds[name], self._cluster)
            return self._providers[name]

    def _create(self, machine: Machine) -> None:
        instance: list[Instance] = []
        error = _error_of(lambda: instance.append(self._call(machine)))
        failpoint("launch.in_flight")
        self._post(MachineCreated(machine.id, instance[0] if instance else None, error))

    def _call(self, machine: Machine) -> Instance:
        provider = self._provider(machine.offer.provider)
        cloud = self._clouds[machine.offer.provider]
        template = template_of(cloud)
        if digest(machine.id, machine.offer, machine.market, cloud, template, machine.host_key) != machine.parameters:
            raise TokenSpent("the settings of its cloud were changed since its token was drawn")
        try:
            private = (self._keys / machine.id).read_text()
        except OSError as error:
            raise TokenSpent(f"its host key cannot be read: {error.strerror}") from error
        return provider.create(build_request(machine, cloud, self._cluster, template, private, self._authorized_key))

    def _destroy(self, action: DestroyMachine) -> None:
        error = _error_of(lambda: self._provider(action.provider).destroy(action.instance_id))
        self._post(MachineDestroyed(action.instance_id, error))

    def _list(self, action: ListMachines, regions: frozenset[str]) -> None:
        """Also of ``regions``, where machines of ours are, in the settings still or not."""
        began = self._clock()
        found: list[Instance] = []
        error = _error_of(lambda: found.extend(self._provider(action.provider).list(sorted(regions))))
        self._post(MachinesListed(action.provider, began, self._clock(), tuple(found), error))


def _error_of(work: Callable[[], object]) -> CloudError | None:
    """What nobody foresaw is `Unclear`: it may have acted. What is wrong with the settings launched nothing."""
    try:
        work()
    except CloudError as error:
        return error
    except BeowulfError as error:
        return LaunchRefused(error.message, hint=error.hint)
    except Exception as error:
        log.exception("a call to a cloud broke")
        return Unclear(f"{type(error).__name__}: {error}")
    return None

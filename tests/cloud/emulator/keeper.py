"""Makes come true what the world says: boots hosts, ends them, and hears when one has shut itself down."""

from __future__ import annotations

import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from emulator.hosts import Hosts
from emulator.messages import Reply, Request
from emulator.server import Server
from emulator.world import ENDED, ENDING, LIVE, PENDING, RUNNING, STOPPED, Machine, World

LOOK_S = 0.05


class Keeper:
    """One thread looks at every machine, a few boot and clear hosts."""

    def __init__(self, world: World, hosts: Hosts, metadata: Callable[[Machine, Request], Reply]) -> None:
        self._world, self._hosts, self._metadata = world, hosts, metadata
        self._pool = ThreadPoolExecutor(max_workers=4)
        self._busy: set[str] = set()
        self._prepared: set[str] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Also takes up the hosts that outlived an earlier emulator."""
        if self._real:
            for machine in self._world.machines():
                if machine.state in LIVE and self._hosts.alive(machine.id):
                    self._hosts.serve_metadata(machine, self._metadata)
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def _real(self) -> bool:
        return bool(self._world.rule("hosts") == "real")

    def stop(self) -> None:
        """Nothing of any host is left."""
        self._stopped.set()
        self._pool.shutdown(wait=True)
        self._hosts.remove_all([machine.id for machine in self._world.machines()])

    def serve_inside(self, answer: Callable[[Request], Reply]) -> str:
        """The cloud's address as its hosts reach it (→ URL), until this process ends."""
        server = Server(socket.create_server((self._hosts.gateway(), 0), backlog=128), answer)
        server.in_background()
        return "http://{}:{}".format(*server.server_address)

    def cut(self, machine: Machine) -> None:
        """A power cut: the host dies at once; the cloud notices and acts by the shutdown behaviour."""
        self._hosts.cut(machine.id)

    def _run(self) -> None:
        counted_at = 0.0
        while not self._stopped.is_set():
            self._world.changed.wait(LOOK_S)
            self._world.changed.clear()
            machines = [one for one in self._world.machines() if one.state not in (ENDED, STOPPED)]
            for machine in machines:
                if machine.id not in self._busy:
                    self._look(machine, self._world.now())
            if self._real and time.monotonic() - counted_at >= LOOK_S:
                counted_at = time.monotonic()
                for machine in machines:
                    if machine.state == RUNNING and not self._hosts.alive(machine.id):
                        self._shut_down_itself(machine)
            time.sleep(0.005)

    def _look(self, machine: Machine, now: float) -> None:
        world = self._world
        if machine.state == PENDING and now >= machine.made_at + world.rule("boot_s"):
            self._apart(machine, self._boot)
        elif machine.state == PENDING and self._real and machine.id not in self._prepared:
            self._apart(machine, self._prepare)  # what the real ones do in that time, too
        elif machine.state == RUNNING and machine.reclaim_at and now >= machine.reclaim_at:
            world.end(machine, "spot reclaimed")
        elif machine.state in (PENDING, RUNNING) and machine.life_ends_at and now >= machine.life_ends_at:
            world.end(machine, "its time limit")
        elif machine.state == ENDING and now >= machine.ending_at + world.rule("ending_s"):
            self._apart(machine, self._end)

    def _shut_down_itself(self, machine: Machine) -> None:
        with self._world.changing():
            if machine.at_shutdown == "terminate":
                self._world.end(machine, "shut down from inside")
            else:
                machine.state, machine.reason = STOPPED, "shut down from inside"
                machine.ended_at = self._world.now()
                self._world.save(machine)

    def _prepare(self, machine: Machine) -> None:
        self._hosts.prepare(machine, self._hosts.address(machine.number))
        self._hosts.serve_metadata(machine, self._metadata)
        self._prepared.add(machine.id)

    def _boot(self, machine: Machine) -> None:
        if self._real:
            if machine.id not in self._prepared:
                self._prepare(machine)
            machine.address = self._hosts.address(machine.number)
            self._hosts.boot(machine)
        with self._world.changing():
            if machine.state == PENDING and self._world.get(machine.id) is machine:  # no reset came between
                machine.state, machine.running_at = RUNNING, self._world.now()
                machine.address = machine.address or "127.0.0.1"
                self._world.save(machine)

    def _end(self, machine: Machine) -> None:
        if self._real:
            self._hosts.cut(machine.id)
            self._hosts.clear(machine.id)
            self._prepared.discard(machine.id)
        with self._world.changing():
            machine.state, machine.ended_at = ENDED, self._world.now()
            if self._world.get(machine.id) is machine:
                self._world.save(machine)

    def _apart(self, machine: Machine, work: Callable[[Machine], None]) -> None:
        def run() -> None:
            try:
                work(machine)
            except Exception:
                traceback.print_exc(file=sys.stderr)
                sys.stderr.flush()
                time.sleep(0.5)
            finally:
                self._busy.discard(machine.id)
                self._world.changed.set()

        self._busy.add(machine.id)
        self._pool.submit(run)

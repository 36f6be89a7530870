"""A real host behind each instance: a network namespace on a switch of its own, with a private file system and sshd.

Hosts outlive this process: what is needed to find them again lies in their folders.
"""

from __future__ import annotations

import ctypes
import hashlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from emulator import image, warm
from emulator.cloud_config import read_config
from emulator.messages import Reply, Request
from emulator.server import Server
from emulator.world import Machine

METADATA_ADDRESS = "169.254.169.254"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Hosts:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]
        self._switch, self._link = f"cloud-{self._token}", f"cloud{self._token}"
        self._metadata: dict[str, Server] = {}
        self._network: ipaddress.IPv4Network | None = None
        self._making = threading.Lock()
        self._warm = warm.Warm()
        self._standing: dict[str, warm.Standing] = {}

    # Names and addresses

    def address(self, number: int) -> str:
        return str(self._net()[number + 10])

    def gateway(self) -> str:
        """Where this machine is in the hosts' network."""
        return str(self._net()[1])

    def _space(self, machine_id: str) -> str:
        return f"cloud-{self._token}-{machine_id}"[:100]

    def _disk(self, machine_id: str) -> Path:
        return self._folder / "hosts" / machine_id

    def _net(self) -> ipaddress.IPv4Network:
        """The subnet of this cloud and the switch in it, made at first use."""
        with self._making:
            if self._network is None:
                kept = self._folder / "network"
                text = kept.read_text() if kept.exists() else _free_subnet(self._token)
                self._network = ipaddress.IPv4Network(text)
                kept.write_text(text)
                if not os.path.exists(f"/run/netns/{self._switch}"):
                    self._make_switch(str(self._network[1]))
            return self._network

    def _make_switch(self, gateway: str) -> None:
        _run("ip", "netns", "add", self._switch)
        _batch(
            "",
            f"link add {self._link} type veth peer name head netns {self._switch}",
            f"addr add {gateway}/16 dev {self._link}",
            f"link set {self._link} up",
        )
        _batch(
            self._switch,
            "link add bridge type bridge forward_delay 0",
            "link set bridge up",
            "link set head master bridge up",
        )

    # One host

    def prepare(self, machine: Machine, address: str) -> None:
        """Its network, its disk and its first process, which has no power yet. Done again after a crash half-way."""
        if self.alive(machine.id) or machine.id in self._standing:
            return
        self._connect(machine)
        disk = self._disk(machine.id)
        image.lay_out(disk, machine.id, address)
        order = {
            "disk": str(disk),
            "network": f"/run/netns/{self._space(machine.id)}",
            "name": machine.id,
            "boot_id": str(uuid.uuid4()),
            "open": _closed_python(),
            "config": read_config(machine.user_data),
        }
        (disk / "order.json").write_text(json.dumps(order))
        try:
            self._standing[machine.id] = self._warm.host(disk / "order.json")
        except RuntimeError as error:
            raise RuntimeError(f"{machine.id} does not boot: {error}") from error

    def _connect(self, machine: Machine) -> None:
        space, port = self._space(machine.id), f"port{machine.number}"
        if os.path.exists(f"/run/netns/{space}"):  # the port first: what is in a namespace goes some time after it
            _run("ip", "-n", self._switch, "link", "del", port, check=False)
            _run("ip", "netns", "del", space)
        _run("ip", "netns", "add", space)
        _batch(
            self._switch,
            f"link add {port} type veth peer name eth0 netns {space}",
            f"link set {port} master bridge up",
        )
        _batch(
            space,
            f"addr add {self.address(machine.number)}/16 dev eth0",
            "link set lo up",
            "link set eth0 up",
            f"addr add {METADATA_ADDRESS}/32 dev lo scope host",
            f"route add default via {self.gateway()}",
        )

    def boot(self, machine: Machine) -> None:
        """Of a host that was prepared: its power comes on; its sshd listens soon after."""
        standing = self._standing.pop(machine.id, None)
        if standing is None:  # it outlived an emulator that was killed before it could say so
            return
        # Its number is on disk before it may live.
        new = self._disk(machine.id) / "init.new"
        new.write_text(f"{standing.pid} {standing.started}\n")
        new.rename(new.with_suffix(""))
        standing.switch_on()

    def alive(self, machine_id: str) -> bool:
        init = self._init(machine_id)
        return init is not None and warm.lives(*init)

    def _init(self, machine_id: str) -> tuple[int, str] | None:
        """The number of the first process of a host that had power, and when that process started."""
        try:
            pid, started = (self._disk(machine_id) / "init").read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid), started

    def cut(self, machine_id: str) -> None:
        """Its power goes, whether it ever came on or not."""
        standing = self._standing.pop(machine_id, None)
        if standing is not None:
            standing.give_up()
        init = self._init(machine_id)
        if init is not None:
            warm.end(*init)

    def clear(self, machine_id: str) -> None:
        """Its network and its disk go; ``console.log`` stays for whoever asks why."""
        server = self._metadata.pop(machine_id, None)
        if server is not None:
            server.shutdown()
            server.server_close()
        space, disk = self._space(machine_id), self._disk(machine_id)
        if os.path.exists(f"/run/netns/{space}"):
            _run("ip", "netns", "del", space)
        log = disk / "console.log"
        if log.exists():
            (self._folder / "consoles").mkdir(exist_ok=True)
            shutil.move(log, self._folder / "consoles" / f"{machine_id}.log")
        shutil.rmtree(disk, ignore_errors=True)

    def remove_all(self, machine_ids: list[str]) -> None:
        for machine_id in machine_ids:
            self.cut(machine_id)
            self.clear(machine_id)
        if os.path.exists(f"/run/netns/{self._switch}"):
            _run("ip", "link", "del", self._link)
            _run("ip", "netns", "del", self._switch)

    def serve_metadata(self, machine: Machine, answer: Callable[[Machine, Request], Reply]) -> None:
        """Listens on the well-known address inside the host's own network, so nobody else can ask for this machine."""
        if machine.id not in self._metadata:
            listening = _listen_inside(f"/run/netns/{self._space(machine.id)}", METADATA_ADDRESS, 80)
            server = Server(listening, lambda request: answer(machine, request))
            self._metadata[machine.id] = server
            server.in_background()


def _listen_inside(namespace: str, address: str, port: int) -> socket.socket:
    """A socket belongs to the network it was made in, whoever holds it; only the thread that makes it goes there."""
    made: list[socket.socket] = []

    def make() -> None:
        descriptor = os.open(namespace, os.O_RDONLY)
        if LIBC.setns(descriptor, CLONE_NEWNET) == 0:
            listening = socket.socket()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, port))
            listening.listen(64)
            made.append(listening)
        os.close(descriptor)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        raise RuntimeError(f"cannot listen in {namespace}")
    return made[0]


def _closed_python() -> list[str]:
    """Folders below /root that this Python needs: jobs on a host may run with it as an ordinary user."""
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()}
    return sorted({str(Path(*path.parts[:3])) for path in needed if path.is_relative_to("/root")})


def _free_subnet(token: str) -> str:
    taken = _run("ip", "-o", "-4", "addr", "show").stdout + _run("ip", "-o", "-4", "route", "show").stdout
    start = int(token, 16) % 100
    for step in range(100):
        subnet = f"10.{100 + (start + step) % 100}."
        if f" {subnet}" not in taken:
            return subnet + "0.0/16"
    raise RuntimeError("no free subnet for the emulated cloud")


def _run(*argv: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    return subprocess.run(argv, input=stdin, check=check, text=True, capture_output=True, env=environment, cwd="/")


def _batch(namespace: str, *lines: str) -> None:
    _run("ip", *(("-n", namespace) if namespace else ()), "-batch", "-", stdin="".join(line + "\n" for line in lines))

"""``python -m emulator VENDOR FOLDER PORT``: serves one cloud until it is killed; the same folder goes on with it."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from emulator import tls
from emulator.front import Front
from emulator.hosts import Hosts
from emulator.keeper import Keeper
from emulator.server import Server
from emulator.world import World


def main() -> None:
    vendor_name, folder = sys.argv[1], Path(sys.argv[2])
    port = int(sys.argv[3])
    world = World(folder)
    vendor = importlib.import_module(f"emulator.{vendor_name}").make(world)
    hosts = Hosts(folder)
    world.address_of = hosts.address
    keeper = Keeper(world, hosts, vendor.metadata)
    listening = socket.create_server(("127.0.0.1", port), backlog=128, reuse_port=False)
    scheme = "http"
    if getattr(vendor, "tls", False):  # an SDK that sends its tokens over nothing less
        listening, scheme = tls.wrapped(listening, folder), "https"
    server = Server(listening, Front(world, vendor, keeper).answer, scheme)
    server.in_background()
    keeper.start()
    (folder / "port.new").write_text(str(listening.getsockname()[1]))
    (folder / "port.new").rename(folder / "port")
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    parent = os.getppid()
    while not done.wait(1.0):
        if os.getppid() != parent:  # whoever started us was killed, and nobody else would clear up
            keeper.stop()
            return


if __name__ == "__main__":
    main()

"""``beowulf-rendezvous HOSTS -- argv``: one Horovod rank over Gloo.

Rank 0 serves Horovod's rendezvous beside itself, with Horovod's own server class; every rank waits until that answers
and becomes ``argv``. HOSTS is ``n1:2,n2:1``. It imports nothing of ours: it runs by itself, with the job's Python.
"""

import importlib
import os
import signal
import socket
import sys
import time
from typing import NoReturn

PATIENCE_S = 120.0
"""How much later than the others rank 0 may be ready to serve: nodes are of unequal speed."""
TRY_AGAIN_S = 0.05
PR_SET_PDEATHSIG = 1


def serve(address: str, port: int, hosts: str, announce: int) -> None:
    """Never comes back. Writes a byte to ``announce`` once it listens."""
    try:
        plans = importlib.import_module("horovod.runner.common.util.hosts")
        http = importlib.import_module("horovod.runner.http.http_server")
    except ImportError as error:
        advice = "add horovod to the job's env.requirements"
        raise SystemExit("beowulf-rendezvous: this Python has no Horovod ({}); {}".format(error, advice))
    places = plans.parse_hosts(hosts)
    # Peers may know this host by an address that is not its own (NAT): every interface then, as horovodrun does.
    server = http.RendezvousHTTPServer((address if address.startswith("127.") else "", port), http.RendezvousHandler, 0)
    server.init(plans.get_host_assignments(places, sum(place.slots for place in places)))
    os.write(announce, b"x")
    os.close(announce)
    server.serve_forever()


def begin_to_serve(address: str, port: int, hosts: str) -> None:
    """A child that serves and ends with us, whatever we become; returns when it listens."""
    reader, writer = os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        code = 1
        try:
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            os.close(reader)
            if os.getppid() == parent:
                serve(address, port, hosts, writer)
        except SystemExit as said:
            sys.stderr.write("{}\n".format(said.code))
        except Exception as error:  # whatever it is: a forked child must not go on as its parent
            sys.stderr.write("beowulf-rendezvous: cannot serve at port {}: {!r}\n".format(port, error))
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    served = os.read(reader, 1)
    os.close(reader)
    if not served:
        sys.exit(1)


def wait_for_server(address: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                text = "beowulf-rendezvous: rank 0 does not serve at {}:{} after {:g} s: {}"
                sys.exit(text.format(address, port, PATIENCE_S, error))
        time.sleep(TRY_AGAIN_S)


def name_interface() -> None:
    """Gloo's interface is the one the agent found towards the peers, unless the job named another."""
    towards = os.environ.get("GLOO_SOCKET_IFNAME", "").split(",")[0]
    if towards:
        os.environ.setdefault("HOROVOD_GLOO_IFACE", towards)


def main() -> NoReturn:
    words = sys.argv[1:]
    if len(words) < 3 or words[1] != "--":
        sys.exit("beowulf-rendezvous: use it as: beowulf-rendezvous HOSTS -- ARGV")
    address, port = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"], int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"])
    if os.environ["HOROVOD_RANK"] == "0":
        begin_to_serve(address, port, words[0])
    else:
        wait_for_server(address, port)
    name_interface()
    try:
        os.execvp(words[2], words[2:])
    except OSError as error:
        sys.stderr.write("beowulf-rendezvous: {}: {}\n".format(words[2], error.strerror))
    sys.exit(127)


if __name__ == "__main__":
    main()

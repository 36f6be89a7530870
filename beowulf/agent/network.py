"""Which interface the kernel routes to the peers by."""

import fcntl
import socket
import struct
from typing import Dict, List, Sequence

_SIOCGIFADDR = 0x8915
_ANY_PORT = 9


def interfaces_towards(peers: Sequence[str]) -> str:
    """Comma-separated names; the loopback only when nothing else leads to a peer; empty when nothing does."""
    by_address = _addresses()
    names: List[str] = []
    for peer in peers:
        address = _own_address(peer)
        # Every address of 127.0.0.0/8 is the loopback's, though it lists only one.
        name = "lo" if address.startswith("127.") else by_address.get(address, "")
        if name and name not in names:
            names.append(name)
    others = [name for name in names if name != "lo"]
    return ",".join(others or names)


def _own_address(peer: str) -> str:
    try:
        family, kind, _, _, address = socket.getaddrinfo(peer, _ANY_PORT, 0, socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # sends nothing: it only asks the routing table
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _addresses() -> Dict[str, str]:
    found: Dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode("ascii")[:15]))
            except OSError:
                continue
            found[socket.inet_ntoa(answer[20:24])] = name
    try:
        with open("/proc/net/if_inet6") as file:
            for line in file:
                digits, _, _, _, _, name = line.split()
                found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))] = name
    except OSError:
        pass
    return found

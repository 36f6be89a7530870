"""Interfaces, and the one that routes to the head and the peers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_address

from beowulf.model.node import Interface
from beowulf.probe.answers import Answer, Answers, whole

UNKNOWN_SPEEDS = (-1, 65535, 4294967295)  # what drivers write for "no idea"


def read_network(answers: Answers) -> tuple[tuple[Interface, ...], str]:
    """``(interfaces, the name of the one that routes to the peers)``; its address that peers see comes first.

    Peers decide by majority; without any, the address SSH came in by; without that (a local node), the default route.
    """
    table = _table(answers.of("routes"))
    addresses = _addresses(answers.of("addresses")) or _from_tries(answers.of("routes"), table)
    interfaces = _interfaces(answers.of("links"), addresses)
    seen_at = _ssh_address(answers)
    via, source = _peer_route(answers.of("routes"), table)
    if not via:
        via, source = _holder(seen_at, interfaces), seen_at
    if not via:
        via = table[-1][1] if table and table[-1][0].prefixlen == 0 else ""
    if via == _holder(seen_at, interfaces):
        source = seen_at
    return tuple(
        _seen_first(interface, source) if interface.name == via else interface for interface in interfaces
    ), via


def _interfaces(links: Answer, addresses: Mapping[str, tuple[str, ...]]) -> tuple[Interface, ...]:
    found: dict[str, Interface] = {}
    for line in links.lines:
        words = line.split()
        if len(words) >= 3 and words[0] == "link":
            speed = whole(words[3]) if len(words) > 3 else 0
            speed = 0 if speed is None or speed in UNKNOWN_SPEEDS or speed < 0 else speed
            # "unknown" is what lo and many virtual links call being up
            found[words[1]] = Interface(words[1], (), speed, words[2] in {"up", "unknown"})
    for name in addresses:
        found.setdefault(name, Interface(name, ()))
    # /sys may show another network namespace than the one we live in: trust the addresses then
    strangers = bool(addresses) and not set(addresses) & {
        line.split()[1] for line in links.lines if len(line.split()) > 1
    }
    kept = (one for one in found.values() if not strangers or one.name in addresses)
    return tuple(replace(one, addresses=addresses.get(one.name, ())) for one in kept)


def _addresses(answer: Answer) -> dict[str, tuple[str, ...]]:
    """By interface, IPv4 first, link-local ones left out; from ``ip -o addr`` or either shape of ``ifconfig -a``."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in answer.out.splitlines():
        numbered = re.match(r"\d+:\s+(\S+?)(?:@\S+)?\s+inet6?\s", line)
        if numbered:
            name = numbered[1]
        elif line and not line[0].isspace():
            name = line.split()[0].rstrip(":")
        for text in re.findall(r"inet6?(?: addr:)?\s*([0-9a-fA-F:.]+)", line):
            if _usable(text):
                found.setdefault(name, []).append(text)
    return {name: tuple(sorted(dict.fromkeys(all_of), key=lambda text: ":" in text)) for name, all_of in found.items()}


def _usable(text: str) -> bool:
    try:
        return not ip_address(text).is_link_local
    except ValueError:
        return False


def _table(routes: Answer) -> list[tuple[IPv4Network, str]]:
    """/proc/net/route, most specific first, default route last."""
    lines = routes.lines
    start = lines.index("table") + 1 if "table" in lines else len(lines)
    found = []
    for line in lines[start:]:
        if line == "local":
            break
        words = line.split()
        if len(words) >= 8 and re.fullmatch(r"[0-9A-Fa-f]{8}", words[1]) and re.fullmatch(r"[0-9A-Fa-f]{8}", words[7]):
            network = IPv4Network((_little_endian(words[1]), str(_little_endian(words[7]))), strict=False)
            found.append((network, words[0]))
    return sorted(found, key=lambda row: -row[0].prefixlen)


def _little_endian(text: str) -> IPv4Address:
    return IPv4Address(bytes.fromhex(text)[::-1])


def _from_tries(routes: Answer, table: list[tuple[IPv4Network, str]]) -> dict[str, tuple[str, ...]]:
    """Without ip and ifconfig: the kernel's own list of local addresses, put on interfaces by the routing table."""
    text = routes.out.partition("\nlocal\n")[2]
    mine = sorted(set(re.findall(r"\|-- ([\d.]+)\n\s+/32 host LOCAL", text)))
    found: dict[str, tuple[str, ...]] = {}
    for address in map(IPv4Address, mine):
        name = "lo" if address.is_loopback else _by_table(address, [row for row in table if row[0].prefixlen])
        if name:
            found[name] = (*found.get(name, ()), str(address))
    return found


def _by_table(address: IPv4Address, table: list[tuple[IPv4Network, str]]) -> str:
    return next((name for network, name in table if address in network), "")


def _peer_route(routes: Answer, table: list[tuple[IPv4Network, str]]) -> tuple[str, str]:
    """``(interface, our address on it)`` by most of the peers; those that are this very machine do not count."""
    votes: Counter[tuple[str, str]] = Counter()
    peers = [line.removeprefix("peer ") for line in routes.lines if line.startswith("peer ")]
    for line in routes.lines:
        device = re.search(r"\bdev (\S+)", line)
        source = re.search(r"\bsrc (\S+)", line)
        if device and not line.startswith("local "):
            votes[device[1], source[1] if source else ""] += 1
    if not votes:
        for peer in map(ip_address, peers):
            if isinstance(peer, IPv4Address) and not peer.is_loopback and (name := _by_table(peer, table)):
                votes[name, ""] += 1
    return votes.most_common(1)[0][0] if votes else ("", "")


def _ssh_address(answers: Answers) -> str:
    words = answers.of("identity").pairs.get("ssh", "").split()
    return words[2].removeprefix("::ffff:") if len(words) == 4 and _usable(words[2].removeprefix("::ffff:")) else ""


def _holder(address: str, interfaces: tuple[Interface, ...]) -> str:
    if not address:
        return ""
    if ip_address(address).is_loopback:
        return "lo"
    return next((interface.name for interface in interfaces if address in interface.addresses), "")


def _seen_first(interface: Interface, address: str) -> Interface:
    if not address:
        return interface
    return replace(interface, addresses=(address, *(one for one in interface.addresses if one != address)))

"""What a person types to say where to look → addresses to try."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from beowulf.model.errors import BadInput

MOST_ADDRESSES = 1 << 16  # a /16

_RANGE = re.compile(r"(\d+\.\d+\.\d+)\.(\d+)-(?:(\d+\.\d+\.\d+)\.)?(\d+)\Z")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")


def expand(networks: Sequence[str], ports: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """Every (host, port) once, in the order given. Takes ``10.0.0.0/24``, ``10.0.0.5-20``, names, addresses and
    ``host:port``. Raises BadInput, also where more than a /16 is asked for."""
    found: dict[tuple[str, int], None] = {}
    total = 0
    for text in networks:
        hosts, own_port = _hosts(text.strip())
        for host in hosts:
            for port in (own_port,) if own_port else ports:
                total += 1
                if total > MOST_ADDRESSES * max(1, len(ports)):
                    raise _too_many(text)
                found[host, port] = None
    return tuple(found)


def _hosts(text: str) -> tuple[Iterable[str], int]:
    if "/" in text:
        return _network(text), 0
    if match := _RANGE.match(text):
        return _range(text, match), 0
    if text.count(":") > 1 and not text.startswith("["):
        return (_address(text, text),), 0
    host, port = _split_port(text)
    return (host,), port


def _network(text: str) -> Iterable[str]:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BadInput(str(error), where=text, hint="write it like 10.0.0.0/24") from error
    if network.num_addresses > MOST_ADDRESSES:
        raise _too_many(text)
    return (str(address) for address in network.hosts())


def _range(text: str, match: re.Match[str]) -> Iterable[str]:
    prefix, first, second_prefix, last = match.groups()
    start = ipaddress.IPv4Address(_address(f"{prefix}.{first}", text))
    end = ipaddress.IPv4Address(_address(f"{second_prefix or prefix}.{last}", text))
    if end < start:
        raise BadInput("the range ends before it starts", where=text)
    if int(end) - int(start) >= MOST_ADDRESSES:
        raise _too_many(text)
    return (str(ipaddress.IPv4Address(number)) for number in range(int(start), int(end) + 1))


def _split_port(text: str) -> tuple[str, int]:
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        _address(host, text)
    elif ":" in text:
        host, _, port = text.partition(":")
    if not text.startswith("[") and not _NAME.match(host):
        raise BadInput("neither a network, a range, a name nor an address", where=text or "''", hint="see --help")
    if ":" in text.rpartition("]")[2] and not (port.isdecimal() and 0 < int(port) < 65536):
        raise BadInput(f"{port!r} is not a port (1 to 65535)", where=text)
    return host, int(port) if port else 0


def _address(text: str, where: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise BadInput(str(error), where=where) from error


def _too_many(text: str) -> BadInput:
    return BadInput("more than 65536 addresses", where=text, hint="look in at most a /16 at a time")

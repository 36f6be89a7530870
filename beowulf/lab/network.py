"""The cables of a root lab as data: commands as tuples, none of them run here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beowulf.lab.blueprint import Blueprint, HostPlan

# Where a cut-off peer's packets go: no card has this address, so they vanish without an answer, as in a real partition.
NOWHERE = "02:00:00:00:00:01"


@dataclass(frozen=True)
class Command:
    argv: tuple[str, ...]
    stdin: str = ""


def make_switch(lab: Blueprint) -> tuple[Command, ...]:
    """A bridge in a namespace of its own, where no firewall of the machine meddles, and the head's cable to it."""
    length = lab.subnet.partition("/")[2]
    return (
        Command(("ip", "netns", "add", lab.switch)),
        _batch(
            f"link add {lab.link} type veth peer name head netns {lab.switch}",
            f"addr add {lab.gateway}/{length} dev {lab.link}",
            f"link set {lab.link} up",
        ),
        _batch(
            "link add bridge type bridge forward_delay 0",
            "link set bridge up",
            "link set head master bridge up",
            namespace=lab.switch,
        ),
    )


def make_cable(lab: Blueprint, host: HostPlan) -> tuple[Command, ...]:
    """A network namespace for ``host``, with a veth into the switch."""
    length = lab.subnet.partition("/")[2]
    commands = [
        Command(("ip", "netns", "add", host.namespace)),
        _batch(
            f"link add {host.link} type veth peer name eth0 netns {host.namespace}",
            f"link set {host.link} master bridge up",
            namespace=lab.switch,
        ),
        _batch(
            f"addr add {host.address}/{length} dev eth0",
            "link set lo up",
            "link set eth0 up",
            f"route add default via {lab.gateway}",
            namespace=host.namespace,
        ),
    ]
    if host.rate_bits is not None:
        ends = ((lab.switch, host.link), (host.namespace, "eth0"))
        commands += [_limit(namespace, device, host.rate_bits) for namespace, device in ends]
    return tuple(commands)


def _limit(namespace: str, device: str, rate_bits: int) -> Command:
    # Under 128 KiB the kernel would have to cut every large segment apart; 5 ms of traffic keeps fast links fast.
    burst_bytes = max(131_072, rate_bits // 8 // 200)
    shape = ("root", "tbf", "rate", f"{rate_bits}bit", "burst", f"{burst_bytes}", "latency", "50ms")
    return Command(("tc", "-n", namespace, "qdisc", "add", "dev", device, *shape))


def remove_network(lab: Blueprint) -> Command:
    """Everything ``make_switch`` and ``make_cable`` make, whether it is there or not."""
    return _batch(
        f"link del {lab.link}",
        *(f"netns del {host.namespace}" for host in lab.hosts),
        f"netns del {lab.switch}",
        force=True,
    )


def set_link(lab: Blueprint, host: HostPlan, up: bool) -> Command:
    """The switch's end of the cable, so that the host sees its carrier go, as when a plug is pulled."""
    return Command(("ip", "-n", lab.switch, "link", "set", host.link, "up" if up else "down"))


def plug_all(lab: Blueprint) -> Command:
    return _batch(*(f"link set {host.link} up" for host in lab.hosts), namespace=lab.switch)


def ports(lab: Blueprint) -> Command:
    """Asks how the switch's ports are; ``ports_up`` reads the answer."""
    return Command(("ip", "-n", lab.switch, "-o", "link", "show"))


def ports_up(answer: str) -> frozenset[str]:
    """``3: port1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu …`` → port1."""
    found = re.findall(r"(?m)^\d+: ([^@:\s]+)(?:@\S+)?: <([^>]*)>", answer)
    return frozenset(name for name, flags in found if "UP" in flags.split(","))


def cut(lab: Blueprint, one: HostPlan | None, other: HostPlan | None) -> tuple[Command, ...]:
    """Nothing passes between the two any more, either way, and nobody is told. None is the head."""
    ends = ((one, other), (other, one))
    return tuple(
        _neighbours(lab, here, f"replace {_address(lab, there)} lladdr {NOWHERE} nud permanent") for here, there in ends
    )


def heal(lab: Blueprint, host: HostPlan | None) -> Command:
    """``host`` (None: the head) looks for its peers again."""
    return _neighbours(lab, host, "flush nud permanent")


def _neighbours(lab: Blueprint, host: HostPlan | None, change: str) -> Command:
    verb, _, rest = change.partition(" ")
    if host is None:
        return _batch(f"neigh {verb} dev {lab.link} {rest}")
    return _batch(f"neigh {verb} dev eth0 {rest}", namespace=host.namespace)


def _address(lab: Blueprint, host: HostPlan | None) -> str:
    return lab.gateway if host is None else host.address


def _batch(*lines: str, namespace: str = "", force: bool = False) -> Command:
    inside = ("-n", namespace) if namespace else ()
    how = ("-force", "-batch", "-") if force else ("-batch", "-")
    return Command(("ip", *inside, *how), "".join(line + "\n" for line in lines))

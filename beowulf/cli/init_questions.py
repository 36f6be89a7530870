"""What `beowulf init` has to know, asked or assumed, before anything is changed."""

from __future__ import annotations

import getpass
import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

import click

from beowulf.model.errors import BadInput

FILE = Path("nodes") / "lab.yaml"


class Voice(Protocol):
    """Who answers: a person, or what a person would most likely say."""

    def text(self, question: str, default: str) -> str: ...

    def yes(self, question: str, default: bool) -> bool: ...


class Person:
    def text(self, question: str, default: str) -> str:
        return str(click.prompt(question, default=default, err=True)).strip()

    def yes(self, question: str, default: bool) -> bool:
        return bool(click.confirm(question, default=default, err=True))


class Assumed:
    """``--yes``."""

    def text(self, question: str, default: str) -> str:
        return default

    def yes(self, question: str, default: bool) -> bool:
        return default


@dataclass(frozen=True)
class Door:
    """Where to look for machines, and how to log in there."""

    networks: tuple[str, ...]  # none: hosts that ssh has known so far
    user: str
    port: int
    identity_file: str  # "": the cluster's own key, and yours


@dataclass(frozen=True)
class Asked:
    """What the command line said of the door already; "" and 0: nothing."""

    user: str
    port: int
    identity: str


@dataclass(frozen=True)
class Found:
    """A machine that answered. ``problem``: why it cannot be used as it is; it has no ``fingerprint`` then."""

    host: str
    port: int
    fingerprint: str = ""
    problem: str = ""


def door(voice: Voice, networks: Sequence[str], asked: Asked) -> Door:
    """What was given on the command line is not asked for again."""
    if not networks:
        usual = own_network() or "none"
        said = voice.text("Networks to look in (none: hosts that ssh knows)", usual)
        networks = () if said == "none" else said.replace(",", " ").split()
    user = asked.user or voice.text("Log in there as", getpass.getuser())
    port = asked.port or _port(voice)
    identity = asked.identity
    if not identity:
        said = voice.text("Private key (own: the cluster's and yours)", "own")
        identity = "" if said == "own" else said
    if identity and not Path(identity).expanduser().is_file():
        raise BadInput("is no file on this machine", where=identity)
    return Door(tuple(networks), user, port, str(Path(identity).expanduser().absolute()) if identity else "")


def _port(voice: Voice) -> int:
    while True:
        said = voice.text("SSH port", "22")
        if said.isdecimal() and 0 < int(said) < 65536:
            return int(said)
        click.echo(f"{said!r} is not a port (1 to 65535)", err=True)


def own_network() -> str:
    """The /24 this machine reaches others from; "" where it has no way out. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation: only the route is looked up
        except OSError:
            return ""
        address = ipaddress.ip_address(probe.getsockname()[0])
    return "" if address.is_loopback else str(ipaddress.ip_network(f"{address}/24", strict=False))


def chosen(voice: Voice, open_ones: Sequence[Found]) -> list[Found]:
    """Those to add, by their addresses."""
    by_host = {one.host: one for one in open_ones}
    while True:
        said = voice.text("Pin these keys and add which? (all, none, or addresses)", "all")
        if said in ("all", "none"):
            return list(open_ones) if said == "all" else []
        words = said.replace(",", " ").split()
        strangers = [word for word in words if word not in by_host]
        if not strangers:
            return [by_host[word] for word in words]
        click.echo(f"{strangers[0]} is not in the list", err=True)


def names(voice: Voice, wanted: int, prefix: str, taken: Collection[str]) -> list[str]:
    """``n1 n2 …``, or what is said instead: one each, and none twice."""
    usual = numbered(wanted, prefix, taken)
    while wanted:
        said = voice.text("Names for them", " ".join(usual)).replace(",", " ").split()
        problem = _names_problem(said, wanted, taken)
        if not problem:
            return said
        click.echo(problem, err=True)
    return []


def _names_problem(said: Sequence[str], wanted: int, taken: Collection[str]) -> str:
    from beowulf.specs.complaints import Wrong
    from beowulf.specs.quantities import name

    if len(said) != wanted or len(set(said)) != wanted:
        return f"{wanted} different names are needed"
    for word in said:
        if word in taken:
            return f"{word} is a node already"
        try:
            name(word)
        except Wrong as wrong:
            return f"{word!r} {wrong}"
    return ""


def numbered(wanted: int, prefix: str, taken: Collection[str]) -> list[str]:
    """The next free numbers, all written with as many digits."""
    most = wanted + len(taken)
    free = (f"{prefix}{number:0{len(str(most))}}" for number in range(1, most + 1))
    return [name for name in free if name not in taken][:wanted]


def file_for(voice: Voice, given: Path | None, overwrite: bool, *, may_ask: bool) -> tuple[Path, bool]:
    """→ the inventory file to write, and whether what is there may be replaced. Raises `BadInput` where it may not."""
    path = given or Path(voice.text("Write the inventory to", str(FILE)))
    while path.exists() and not overwrite:
        if not may_ask:
            raise BadInput("is there already", where=str(path), hint="--overwrite, or --file OTHER.yaml")
        if voice.yes(f"{path} is there already. Replace it?", False):
            return path, True
        path = Path(voice.text("Write the inventory to", str(free_beside(path))))
    return path, overwrite


def free_beside(path: Path) -> Path:
    """``nodes/lab-2.yaml``, or the next number that is free."""
    beside = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(one for one in beside if not one.exists())

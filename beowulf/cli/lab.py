"""``beowulf lab …``: a cluster of real sshd hosts on this one machine, with cables and power switches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import example, say
from beowulf.cli.progress import waiting

if TYPE_CHECKING:
    from beowulf.lab import HostStatus, Lab

DEFAULT_NAME = "lab"
SCHEMA = "beowulf.lab/1"


def _named(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which lab, where there are several.")(
        command
    )


def _load(name: str) -> Lab:
    from beowulf.lab import Lab  # heavy, and most commands do not need it

    return Lab.load(name)


@click.group(epilog=example("beowulf lab up --nodes 8", "beowulf lab power-off n3", "beowulf lab down"))
def lab() -> None:
    """A cluster of real sshd hosts on this one machine."""


@lab.command(epilog=example("beowulf lab up --nodes 8"))
@click.option("--nodes", type=int, help="How many hosts.  [default: those of the topology, else 4]")
@click.option("--topology", type=click.Path(path_type=Path), help="How unequal they are: nodes/retired-lab.yaml shows.")
@click.option("--subnet", help="Addresses, like 10.77.0.0/24.  [default: the first free 10.77.x.0/24]")
@click.option("--authorized-key", type=click.Path(path_type=Path), multiple=True, help="A public key that may log in.")
@click.option(
    "--rootless", type=click.Choice(["user", "plain"]), help="Not as root would: with user namespaces, or without any."
)
@_named
def up(
    name: str,
    nodes: int | None,
    topology: Path | None,
    subnet: str | None,
    authorized_key: tuple[Path, ...],
    rootless: Any,
) -> None:
    """Bring the lab up; clears what a crashed one left."""
    from beowulf.lab import Lab

    with waiting("making hosts"):
        made = Lab.up(name, nodes, topology, subnet=subnet, authorized_keys=authorized_key, kind=rootless)
    _table(made)
    click.echo("\nNext:\n  " + f"beowulf nodes add --file {made.inventory_file}")
    click.echo("  " + " ".join(made.ssh_command(next(iter(made.hosts)))))


@lab.command(epilog=example("beowulf lab status --json"))
@click.option("--json", "as_json", is_flag=True, help=f"Schema {SCHEMA}.")
@_named
def status(name: str, as_json: bool) -> None:
    """Which hosts there are, and how they are."""
    found = _load(name)
    if not as_json:
        _table(found)
        return
    plan = found.blueprint
    hosts = [{**asdict(row), **_access(found, row.name)} for row in found.status()]
    answer = {"schema": SCHEMA, "name": plan.name, "kind": plan.kind, "subnet": plan.subnet, "hosts": hosts}
    where = {"inventory": str(found.inventory_file), "discover": _where_to_look(found)}
    click.echo(json.dumps({**answer, "notes": plan.notes, **where}, indent=1))


def _where_to_look(found: Lab) -> list[str]:
    """The words after ``beowulf nodes discover`` that find the lab's hosts."""
    hosts = list(found.hosts.values())
    if found.blueprint.kind == "root":
        return [str(found.blueprint.subnet)]
    return [f"{hosts[0].address}-{hosts[-1].address}", "--port", str(hosts[0].port)]


def _access(found: Lab, name: str) -> dict[str, object]:
    host = found.hosts[name]
    return {"user": host.user, "identity_file": host.identity_file, "host_key": host.host_key, "pid": host.pid}


@lab.command(short_help="Take the lab down.", epilog=example("beowulf lab down"))
@click.option("--purge", is_flag=True, help="Its keys too; the hosts of a next lab will be strangers.")
@_named
def down(name: str, purge: bool) -> None:
    """Take the lab down: no process, namespace, link, mount or cgroup stays."""
    from beowulf.lab.making import take_down
    from beowulf.lab.state import lab_folder

    say(f"ending the hosts of lab {name} and removing their files: minutes on some disks")
    with waiting("taking the lab down"):
        known = take_down(lab_folder(name), purge=purge)
    click.echo(f"lab {name} is down" if known else f"there was no lab {name}")


@lab.command("power-off", epilog=example("beowulf lab power-off n3"))
@click.argument("host")
@_named
def power_off(name: str, host: str) -> None:
    """Cut HOST's power: everything on it dies at once."""
    _load(name).power_off(host)


@lab.command("power-on", epilog=example("beowulf lab power-on n3"))
@click.argument("host")
@_named
def power_on(name: str, host: str) -> None:
    """Boot HOST again: same disk, keys and address, new boot id."""
    _load(name).power_on(host)


@lab.command("link-down", epilog=example("beowulf lab link-down n3"))
@click.argument("host")
@_named
def link_down(name: str, host: str) -> None:
    """Pull HOST's network plug; its processes go on."""
    _load(name).link_down(host)


@lab.command("link-up", epilog=example("beowulf lab link-up n3"))
@click.argument("host")
@_named
def link_up(name: str, host: str) -> None:
    """Plug HOST's network in again."""
    _load(name).link_up(host)


@lab.command(short_help="Let nothing pass between two hosts.", epilog=example("beowulf lab partition n1 n2"))
@click.argument("one")
@click.argument("other")
@_named
def partition(name: str, one: str, other: str) -> None:
    """Let nothing pass between two hosts, or one and "head", this machine."""
    _load(name).partition(one, other)


@lab.command(epilog=example("beowulf lab heal"))
@_named
def heal(name: str) -> None:
    """End all partitions."""
    _load(name).heal()


def _table(found: Lab) -> None:
    titles = ("HOST", "ADDRESS", "POWER", "LINK", "CORES", "CPU", "RATE", "GPUS", "PROCESSES", "APART FROM")
    rows: list[tuple[str, ...]] = [titles, *(_row(host) for host in found.status())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for note in found.blueprint.notes:
        click.echo(f"note: {note}")


def _row(host: HostStatus) -> tuple[str, ...]:
    return (
        host.name,
        f"{host.address}:{host.port}",
        "on" if host.power else "off",
        "up" if host.link else "down",
        str(host.cores),
        f"{host.cpu:g}",
        "-" if host.rate_bits is None else f"{host.rate_bits / 1e6:g} Mbit/s",
        ", ".join(host.gpus) or "-",
        str(host.processes),
        ", ".join(host.apart_from) or "-",
    )

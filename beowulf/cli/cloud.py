"""``beowulf cloud …``"""

from __future__ import annotations

import time
from typing import Any

import click

from beowulf.cli.cloud_offers import catalogue, offers
from beowulf.cli.common import Said, common, emit, example, one_by_one, say, table
from beowulf.cli.completing import machines
from beowulf.cli.progress import waiting

STATE = 1  # the column that is coloured


@click.group(epilog=example("beowulf cloud offers --gpu T4", "beowulf cloud login-check", "beowulf cloud ls"))
def cloud() -> None:
    """Rented machines: what they would cost, which there are, what they did cost, and that none is left."""


cloud.add_command(offers)
cloud.add_command(catalogue)


@cloud.command(
    short_help="Rented machines and what they cost.", epilog=example("beowulf cloud ls", "beowulf cloud ls --all")
)
@click.option("--all", "-a", "every", is_flag=True, help="Also those of the last weeks that are gone.")
@common
@click.pass_obj
def ls(said: Said, every: bool) -> None:
    """One line per rented machine, with what it has cost and what it may cost at the most."""
    with said.client() as client:
        found = client.machines(every=every)
    if said.json:
        emit("cloud-machines", machines=found["machines"], clouds=found["clouds"])
        return
    _show(found)


@cloud.command(short_help="Look now, and end what nobody wants.", epilog=example("beowulf cloud gc"))
@common
@click.pass_obj
def gc(said: Said) -> int:
    """Look in every cloud now and end what nobody wants, disks that machines left behind among it. Ends with 1 if a
    cloud does not answer."""
    with said.client() as client, waiting("listing every cloud"):
        found = client.collect()
    failed = [one for one in found["clouds"] if one["error"]]
    if said.json:
        emit("cloud-gc", machines=found["machines"], clouds=found["clouds"])
        return int(bool(failed))
    _show(found)
    say(_left(found))
    return int(bool(failed))


@cloud.command(epilog=example("beowulf cloud cost", "beowulf cloud cost --month 2026-10 --by job"))
@click.option("--month", default="", metavar="YYYY-MM", help="Else the current one (UTC).")
@click.option(
    "--by",
    type=click.Choice(["user", "project", "job", "cloud", "machine"]),
    default="user",
    show_default=True,
    help="Whose, or of what, the lines are.",
)
@common
@click.pass_obj
def cost(said: Said, month: str, by: str) -> None:
    """What rented machines cost in a month, to the second."""
    from beowulf.views.machines import COST_COLUMNS, cost_rows, dollars

    with said.client() as client:
        found = client.cost(month=month, by=by)
    if said.json:
        emit("cloud-cost", **{name: value for name, value in found.items() if name != "schema"})
        return
    table((by.upper(), *COST_COLUMNS), cost_rows(found["lines"]))
    say(f"{found['month']}: {dollars(found['cost_usd'])} spent")
    if found["committed_usd"] is not None:
        most, cap = dollars(found["committed_usd"]), dollars(found["cap_usd"])
        say(f"{most} at the worst, if the head fell silent now; the month's budget is {cap}")


@cloud.command(epilog=example("beowulf cloud terminate aws-7", "beowulf cloud terminate --at-once aws-7 aws-8"))
@click.argument("machines", nargs=-1, required=True, metavar="MACHINE...", shell_complete=machines)
@click.option("--at-once", is_flag=True, help="Do not wait for the jobs that run there; they are queued again.")
@common
@click.pass_obj
def terminate(said: Said, machines: tuple[str, ...], at_once: bool) -> int:
    """Give machines back: each ends when what runs there has ended."""
    states: dict[str, str] = {}

    def give_back(name: str) -> tuple[str, ...]:
        states[name] = client.terminate(name, at_once=at_once)
        return (name,)

    with said.client() as client:
        _, code = one_by_one(machines, give_back)
    if said.json:
        emit("cloud-terminate", states=states)
        return code
    for name, state in states.items():
        click.echo(f"{name} {state}")
    return code


@cloud.command(
    "login-check",
    short_help="Who we are in each cloud, what we may do.",
    epilog=example("beowulf cloud login-check", "beowulf cloud login-check aws"),
)
@click.argument("name", required=False, default="", metavar="[CLOUD]")
@common
@click.pass_obj
def login_check(said: Said, name: str) -> int:
    """Who we are in each cloud and what we may do there, without buying anything. Ends with 1 if something lacks."""
    from beowulf.views import printable

    with said.client() as client, waiting("asking the clouds"):
        checks = client.check_clouds(name)
    lacking = any(not check["ok"] for check in checks)
    if said.json:
        emit("cloud-login-check", checks=checks)
        return int(lacking)
    for check in checks:
        word = "ok" if check["ok"] else "MISSING"
        click.echo(f"{check['cloud']}: {word}: {printable(check['what'])}: {printable(check['detail'])}")
        if check["remedy"] and not check["ok"]:
            click.echo(f"    mend: {printable(check['remedy'])}")
    if not checks:
        say("no cloud is configured: docs/cloud.md says how")
    return int(lacking)


def _left(found: dict[str, Any]) -> str:
    """One sentence; that nothing is rented only where every cloud said so."""
    clouds, rented = found["clouds"], len(found["machines"])
    silent = sum(bool(one["error"]) for one in clouds)
    parts = [f"machines rented: {rented}"] if rented else []
    parts += [f"wanted by nobody at {one['name']}, being ended: {one['unwanted']}" for one in clouds if one["unwanted"]]
    parts += [f"clouds that did not answer: {silent} of {len(clouds)}"] if silent else []
    return "; ".join(parts) or "nothing is rented"


def _show(found: dict[str, Any]) -> None:
    from beowulf.views import printable
    from beowulf.views.machines import MACHINE_COLUMNS, machine_rows

    table(MACHINE_COLUMNS, machine_rows(found["machines"], time.time()), colour=STATE)
    for one in found["clouds"]:
        if one["error"]:
            say(f"{one['name']} does not answer: {printable(one['error'])}")

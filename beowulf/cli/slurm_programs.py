"""``squeue``, ``sinfo``, ``scancel`` and ``sacct``: Slurm's options and columns over our jobs and nodes."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, emit
from beowulf.model.errors import BadInput, BeowulfError

if TYPE_CHECKING:
    from beowulf.client import Client

HELP = {"help_option_names": ["--help", "--usage"]}  # -h means --noheader


def _listed(words: str) -> list[str]:
    return [word for word in words.replace(" ", ",").split(",") if word]


def _only(jobs: Sequence[Mapping[str, Any]], field: str, words: str) -> Sequence[Mapping[str, Any]]:
    wanted = set(_listed(words))
    return [job for job in jobs if not wanted or str(job[field]) in wanted]


def _named(jobs: Sequence[Mapping[str, Any]], words: str) -> Sequence[Mapping[str, Any]]:
    """Those of the ids: ``17`` is also every task of it, ``17_[1-3]`` three of them."""
    wanted = _expanded(words)
    return [job for job in jobs if not wanted or job["id"] in wanted or str(job["number"]) in wanted]


def _expanded(words: str) -> tuple[str, ...]:
    """``n[1-3],login`` one by one."""
    from beowulf.specs.hosts import expand_hosts

    return expand_hosts(words.replace(" ", ",")) if words else ()


def _user_options(function: Callable[..., Any]) -> Callable[..., Any]:
    me = click.option("--me", is_flag=True, help="Only mine.")
    user = click.option("-u", "--user", "--uid", "user", default="", help="Only these users'.")
    return me(user(function))


def _users(user: str, me: bool) -> str:
    return getpass.getuser() if me else user


@click.command(context_settings=HELP)
@_user_options
@click.option("-t", "--states", default="", help="PD,R or PENDING,RUNNING; all.")
@click.option("-j", "--jobs", "ids", default="", help="Only these ids.")
@click.option("-n", "--name", default="", help="Only of these names.")
@click.option("-p", "--partition", default="", help="Only of these queues.")
@click.option("-A", "--account", default="", help="Only of these projects.")
@click.option("-w", "--nodelist", default="", help="Only on these nodes.")
@click.option("-h", "--noheader", is_flag=True)
@click.option("-o", "--format", "columns", default="", help='As "%.18i %j %T".')
@click.option("-l", "--long", is_flag=True)
@click.option("-r", "--array", "every", is_flag=True, help="A line per task of an array.")
@click.option("-i", "--iterate", type=click.FloatRange(1), help="Again every so many seconds.")
@click.option("-a", "--all", is_flag=True, expose_value=False)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def squeue(said: Said, /, columns: str, long: bool, iterate: float | None, **chosen: Any) -> None:
    """Jobs that wait or run."""
    from beowulf.views.slurm import JOB_FIELDS, SQUEUE, SQUEUE_LONG, parse_format

    parts = parse_format(columns or (SQUEUE_LONG if long else SQUEUE), JOB_FIELDS)
    with said.client() as client:
        while True:
            _squeue(_queued(client, **chosen), parts, chosen)
            if iterate is None:
                return
            time.sleep(iterate)


def _queued(client: Client, **chosen: Any) -> Sequence[Mapping[str, Any]]:
    from beowulf.views.slurm import full_states

    words = chosen["states"]
    every = client.jobs(state=full_states(words) if words else "live")
    jobs = _named(_only(every, "owner", _users(chosen["user"], chosen["me"])), chosen["ids"])
    for field, option in (("name", "name"), ("queue", "partition"), ("project", "account")):
        jobs = _only(jobs, field, chosen[option])
    nodes = set(_expanded(chosen["nodelist"]))
    return [job for job in jobs if not nodes or nodes & set(job["nodes"])]


def _squeue(jobs: Sequence[Mapping[str, Any]], parts: Sequence[Any], chosen: dict[str, Any]) -> None:
    from beowulf.views.jobs import grouped
    from beowulf.views.slurm import JOB_FIELDS, Shown, formatted, job_cells

    if chosen["as_json"]:
        emit("jobs", jobs=list(jobs))
        return
    if not chosen["noheader"]:
        click.echo(formatted(parts, {part.letter: JOB_FIELDS[part.letter][0] for part in parts}))
    now = time.time()
    shown = [(job["id"], job) for job in jobs] if chosen["every"] else grouped(jobs)
    for name, job in shown:
        click.echo(formatted(parts, job_cells(parts, Shown(name, job, now))))


@click.command(context_settings=HELP)
@click.option("-N", "--Node", "--nodes-oriented", "each", is_flag=True, help="A line per node.")
@click.option("-h", "--noheader", is_flag=True)
@click.option("-o", "--format", "columns", default="", help='As "%N %t %c".')
@click.option("-n", "--nodes", default="", help="Only these nodes.")
@click.option("-t", "--states", default="", help="Only nodes of these states: idle,mix,alloc,drain,down.")
@click.option("-p", "--partition", default="", help="Only of these sites.")
@click.option("-R", "--list-reasons", "reasons", is_flag=True, help="Why nodes are down or drained.")
@click.option("-l", "--long", is_flag=True, expose_value=False)
@click.option("-a", "--all", is_flag=True, expose_value=False)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def sinfo(said: Said, /, each: bool, noheader: bool, columns: str, reasons: bool, as_json: bool, **chosen: Any) -> None:
    """Nodes by state. A site stands for a partition."""
    from beowulf.views.slurm import (
        NODE_FIELDS,
        SINFO,
        SINFO_NODES,
        Nodes,
        by_state,
        formatted,
        node_cells,
        parse_format,
    )

    usual = "%20E %N" if reasons else SINFO_NODES if each else SINFO
    parts = parse_format(columns or usual, NODE_FIELDS)
    with said.client() as client:
        nodes = [node for node in client.nodes() if _wanted(node, **chosen)]
    if reasons:
        nodes = [node for node in nodes if node["draining_reason"] or node["reason"]]
    if as_json:
        emit("nodes", nodes=nodes)
        return
    if not noheader:
        click.echo(formatted(parts, {part.letter: NODE_FIELDS[part.letter][0] for part in parts}))
    for line in [Nodes([node]) for node in nodes] if each or reasons else by_state(nodes):
        click.echo(formatted(parts, node_cells(parts, line)))


def _wanted(node: Mapping[str, Any], nodes: str, states: str, partition: str) -> bool:
    from beowulf.views.nodes import node_word
    from beowulf.views.slurm import NODE_STATES

    names = _expanded(nodes)
    words = {word.lower() for word in _listed(states)}
    known = {*NODE_STATES.get(node_word(node), ())}
    sites = set(_listed(partition))
    right_state = not words or bool(words & known)
    return (not names or node["id"] in names) and right_state and (not sites or node["site"] in sites)


@click.command(context_settings={"help_option_names": ["-h", "--help", "--usage"]})
@click.argument("ids", nargs=-1, metavar="[JOB...]")
@_user_options
@click.option("-n", "--name", "--jobname", "name", default="", help="Only of this name.")
@click.option("-t", "--state", default="", help="Only these: PENDING, RUNNING.")
@click.option("-p", "--partition", default="", help="Only of this queue.")
@click.option("-A", "--account", default="", help="Only of this project.")
@click.option("-Q", "--quiet", is_flag=True, help="Say nothing of those that have ended already.")
@click.pass_obj
def scancel(said: Said, /, ids: tuple[str, ...], user: str, me: bool, quiet: bool, **chosen: str) -> int:
    """End jobs: those named, or all that the options choose."""
    users = _users(user, me)
    names = list(_expanded(",".join(ids)))
    if not names and not (users or any(chosen.values())):
        raise click.UsageError("name a job, or choose some: --user, --name, --state, --partition, --account")
    with said.client() as client:
        if users or any(chosen.values()):
            names = [job["id"] for job in _chosen_live(client, names, users, **chosen)]
        return _cancel_all(client, names, quiet)


def _chosen_live(client: Client, ids: Sequence[str], users: str, **chosen: str) -> Sequence[Mapping[str, Any]]:
    from beowulf.views.slurm import full_states

    words = full_states(chosen["state"]) or "live"
    jobs = _named(_only(client.jobs(state=words), "owner", users), ",".join(ids))
    for field, option in (("name", "name"), ("queue", "partition"), ("project", "account")):
        jobs = _only(jobs, field, chosen[option])
    return jobs


def _cancel_all(client: Client, names: Sequence[str], quiet: bool) -> int:
    code = 0
    for name in names:
        try:
            client.cancel(name)
        except BeowulfError as error:  # the rest go on
            if not quiet:
                click.echo(f"scancel: error: {name}: {error}", err=True)
                code = code or error.exit_code
    return code


@click.command(context_settings={"help_option_names": ["-h", "--help", "--usage"]})
@click.option("-j", "--jobs", "ids", default="", help="Only these ids.")
@click.option("-u", "--user", "--uid", "user", default="", help="Only these users'; mine unless given.")
@click.option("-a", "--allusers", is_flag=True, help="Everybody's.")
@click.option("-S", "--starttime", default="", help="Since then; midnight unless given, or ever with --jobs.")
@click.option("-E", "--endtime", default="now", help="Until then.")
@click.option("-s", "--state", default="", help="CD,F or COMPLETED,FAILED.")
@click.option("-A", "--accounts", default="", help="Only of these projects.")
@click.option("--name", default="", help="Only of these names.")
@click.option("-r", "--partition", default="", help="Only of these queues.")
@click.option("-X", "--allocations", is_flag=True, expose_value=False, help="No steps; there are none here.")
@click.option("-n", "--noheader", is_flag=True)
@click.option("-P", "--parsable2", is_flag=True, help="With | between.")
@click.option("-p", "--parsable", is_flag=True, help="With | between, and at the end.")
@click.option("--delimiter", default="|", show_default=True)
@click.option("-o", "--format", "fields", default="", help="As JobID,State%20,Elapsed.")
@click.option("-b", "--brief", is_flag=True)
@click.option("-D", "--duplicates", is_flag=True, expose_value=False)
@click.option("-e", "--helpformat", is_flag=True, help="The fields there are.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def sacct(
    said: Said, /, fields: str, brief: bool, noheader: bool, helpformat: bool, as_json: bool, **chosen: Any
) -> None:
    """Jobs of the past and the present."""
    from beowulf.views.slurm import SACCT, SACCT_BRIEF
    from beowulf.views.slurm_accounts import FIELDS, account_lines, parsable_lines, parse_fields

    if helpformat:
        click.echo("\n".join(title for title, _ in FIELDS.values()))
        return
    wanted, now = parse_fields(fields or (SACCT_BRIEF if brief else SACCT)), time.time()
    with said.client() as client:
        jobs = _accounted(client, now, **chosen)
    if as_json:
        emit("jobs", jobs=list(jobs))
        return
    if chosen["parsable"] or chosen["parsable2"]:
        between, last = chosen["delimiter"], chosen["parsable"]
        lines = parsable_lines(wanted, jobs, now, header=not noheader, between=between, last=last)
    else:
        lines = account_lines(wanted, jobs, now, header=not noheader)
    for line in lines:
        click.echo(line)


def _accounted(client: Client, now: float, **chosen: Any) -> Sequence[Mapping[str, Any]]:
    from beowulf.views.slurm import full_states
    from beowulf.views.slurm_accounts import moment, within

    ids = chosen["ids"]
    since = moment(chosen["starttime"] or ("midnight" if not ids else "1970-01-02"), now, "--starttime")
    until = moment(chosen["endtime"], now, "--endtime")
    if until < since:
        raise BadInput("is before --starttime", where="--endtime")
    user = "" if chosen["allusers"] or (ids and not chosen["user"]) else chosen["user"] or getpass.getuser()
    jobs = _named(_only(client.jobs(state=full_states(chosen["state"])), "owner", user), ids)
    for field, option in (("name", "name"), ("queue", "partition"), ("project", "accounts")):
        jobs = _only(jobs, field, chosen[option])
    return [job for job in jobs if within(job, since, until)]

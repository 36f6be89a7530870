"""``beowulf simulate``"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, common, emit, example, say
from beowulf.cli.progress import waiting
from beowulf.cli.what_if import compare
from beowulf.client.submitting import read_text
from beowulf.model.errors import BadInput

if TYPE_CHECKING:
    from beowulf.model.renting import Caps
    from beowulf.model.rules import Rules
    from beowulf.model.snapshot import Snapshot
    from beowulf.sim import Failures, Measures, Moving, Outcome, Trace

MOVES = {"moves": True, "stays": False}  # whether running jobs go to faster devices
ROWS = (
    ("jobs", "jobs", "{:d}"),
    ("mean wait", "wait_mean_s", "{:.0f} s"),
    ("p99 wait", "wait_p99_s", "{:.0f} s"),
    ("mean completion", "completion_mean_s", "{:.0f} s"),
    ("p99 completion", "completion_p99_s", "{:.0f} s"),
    ("bounded slowdown", "slowdown_mean", "{:.2f}"),
    ("utilisation", "utilisation", "{:.1%}"),
    ("makespan", "makespan_s", "{:.0f} s"),
    ("fairness", "fairness", "{:.3f}"),
    ("start error", "start_error_median_s", "{:.0f} s"),
    ("requeued", "requeued", "{:d}"),
    ("moves", "moves", "{:d}"),
    ("gained by moves", "moves_gain_s", "{:.0f} s"),
    ("rented machines", "rented", "{:d}"),
    ("cost", "cost_usd", "${:.2f}"),
)


@click.command(
    epilog=example(
        "beowulf simulate trace.swf --nodes nodes/sample-lab.yaml --policy fair --policy fifo --plot replay.svg",
        "beowulf events --json > lab.jsonl && beowulf simulate lab.jsonl --policy short",
        'beowulf simulate --what-if "+2 RTX3090" --what-if "-n[03-04]"',
        "beowulf simulate trace.swf --nodes nodes/sample-lab.yaml --settings settings.yaml --burst auto",
        "beowulf simulate --generate 2000 --seed 7 --nodes nodes/sample-lab.yaml",
        "beowulf simulate gavel.trace --gavel-throughputs throughputs.json --machines '36 K80, 36 P100, 36 V100' "
        "--policy fifo/blind --policy short/makespan/stays --policy short/makespan/moves",
    )
)
@click.argument("trace", required=False, type=click.Path(path_type=Path))
@click.option("--nodes", type=click.Path(path_type=Path), help="An inventory: the machines to replay on.")
@click.option("--threads", type=click.IntRange(1), default=4, show_default=True, help="Of machines without max_cpus.")
@click.option("--processors", type=click.IntRange(1), help="Instead of an inventory: so many machines of one thread.")
@click.option("--machines", help="Instead of an inventory: '36 K80, 9 4xV100', machines and their GPUs.")
@click.option("--gavel-throughputs", type=click.Path(path_type=Path), help="Of a trace of Gavel: its steps/s, as JSON.")
@click.option("--policy", "policies", multiple=True, help="POLICY[/PLACEMENT[/moves or /stays]]; several are compared.")
@click.option("--settings", type=click.Path(path_type=Path), help="A settings file: scheduler, clouds, budgets.")
@click.option("--generate", type=click.IntRange(1), help="Make a trace of so many jobs instead of reading one.")
@click.option("--burst", type=click.Choice(["auto", "prefer"]), help="All jobs may rent machines of --settings.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of --generate and --failures.")
@click.option("--failures", type=click.FloatRange(0), default=0.0, help="Failures per node and hour.")
@click.option("--repair", type=click.FloatRange(1), default=3600.0, show_default=True, help="Seconds to come back.")
@click.option("--move-cost", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds a move costs.")
@click.option(
    "--what-if",
    "changes",
    multiple=True,
    metavar="CHANGE",
    help="Compare with other machines: '+2 RTX3090', '+1 node like n02', '-n03'. Without TRACE: the head's history.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw use and queue over time into this SVG file.")
@common
@click.pass_obj
def simulate(
    said: Said,
    trace: Path | None,
    nodes: Path | None,
    threads: int,
    processors: int | None,
    machines: str | None,
    gavel_throughputs: Path | None,
    policies: tuple[str, ...],
    settings: Path | None,
    generate: int | None,
    burst: str | None,
    seed: int,
    failures: float,
    repair: float,
    move_cost: float,
    changes: tuple[str, ...],
    plot: Path | None,
) -> None:
    """Replay TRACE through the scheduler, policy by policy.

    TRACE is in the Standard Workload Format (.swf), or the lab's own history as `beowulf events --json` prints it; then
    the nodes are its own, too, unless others are given. With --gavel-throughputs it is one of Gavel's.
    """
    from beowulf.sim import Failures, bursting, measured, svg

    if plot is not None and not plot.parent.is_dir():
        raise BadInput(f"{plot.parent} is no folder", where="--plot")
    rules, caps, moving = _terms(settings, move_cost)
    given = _cluster(nodes, threads, processors, machines)
    if changes and trace is None and generate is None:
        jobs, own, rules = _history(said, rules, told=settings is not None)
        cluster = given or own
    else:
        jobs, cluster = _workload(trace, given, generate, seed, gavel_throughputs, rules)
    chosen = {name: _policy(rules, name) for name in policies or (rules.policy,)}
    jobs = bursting(jobs, burst) if burst else jobs
    if not jobs.jobs:
        raise BadInput("holds no job to replay", where=str(trace or "the head's history"))
    terms = (Failures(failures, repair, seed), caps, moving)
    if changes:
        if len(chosen) > 1 or plot is not None:
            raise BadInput("goes with one policy and no --plot", where="--what-if")
        one = replace(next(iter(chosen.values())), told=jobs.told)
        compare(jobs, cluster, one, terms, changes, said.json)
        return
    outcomes = _replayed(chosen, jobs, cluster, terms)
    if plot is not None:
        _draw(plot, svg(outcomes))
    _tell(said, {name: measured(outcome) for name, outcome in outcomes.items()}, jobs.left_out)


def _replayed(
    chosen: Mapping[str, Rules], jobs: Trace, cluster: Snapshot, terms: tuple[Failures, Caps, Moving]
) -> dict[str, Outcome]:
    from beowulf.sim import replay

    outcomes = {}
    for name, rules in chosen.items():
        with waiting(f"replaying {len(jobs.jobs)} jobs, {name}"):
            outcomes[name] = replay(jobs, cluster, replace(rules, told=jobs.told), *terms)
    return outcomes


def _draw(path: Path, drawing: str) -> None:
    try:
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}", where="--plot") from error


def _tell(said: Said, found: Mapping[str, Measures], left_out: Mapping[str, int]) -> None:
    if said.json:
        emit("simulate", policies={name: asdict(one) for name, one in found.items()}, left_out=dict(left_out))
        return
    for reason, count in left_out.items():
        say(f"{count} jobs of the trace {reason}: left out")
    _table(found)


def _terms(path: Path | None, move_cost_s: float) -> tuple[Rules, Caps, Moving]:
    """The rules of a settings file, with what its clouds have on offer, its budgets, and how jobs move."""
    from beowulf.burst.offers import market_of
    from beowulf.cloud.shelf import read_accelerators, read_catalogue
    from beowulf.sim import Moving
    from beowulf.specs.settings import Settings, parse_settings

    settings = parse_settings(read_text(path), name=str(path)) if path else Settings()
    moving = Moving(settings.resize_every_s, move_cost_s)
    kinds = {one.kind: one.accelerator for one in read_accelerators()}
    offers = read_catalogue(path.parent) if path and settings.renting.clouds else ()
    market = market_of(settings.renting, offers, kinds)
    return replace(settings.rules, market=market), settings.renting.caps, moving


def _policy(rules: Rules, name: str) -> Rules:
    """``short``, ``short/blind`` or ``short/makespan/stays``."""
    from beowulf.sim import placement_names, policy_names

    words = name.split("/")
    known = (("", policy_names()), ("placement ", placement_names()), ("", tuple(MOVES)))
    if len(words) > len(known):
        raise BadInput(f"{name!r} says more than POLICY/PLACEMENT/moves", where="--policy")
    for word, (what, names) in zip(words, known, strict=False):
        if word not in names:
            raise BadInput(f"{what}{word!r} is not known ({', '.join(names)})", where="--policy")
    placement = words[1] if len(words) > 1 else rules.placement
    moves = MOVES[words[2]] if len(words) > 2 else rules.moves
    return replace(rules, policy=words[0], placement=placement, moves=moves)


def _cluster(nodes: Path | None, threads: int, processors: int | None, machines: str | None) -> Snapshot | None:
    from beowulf.sim import cluster_of, flat_cluster, machines_of
    from beowulf.specs.inventory import parse_inventory

    stand_ins = [name for name, value in (("--processors", processors), ("--machines", machines)) if value is not None]
    if len(stand_ins) + (nodes is not None) > 1:
        raise BadInput("stands in for an inventory: give one of them", where=stand_ins[0], hint="--nodes FILE")
    if machines is not None:
        return machines_of(machines)
    if processors is not None:
        return flat_cluster(processors)
    return cluster_of(parse_inventory(read_text(nodes), name=str(nodes)), threads=threads) if nodes else None


def _history(said: Said, rules: Rules, *, told: bool) -> tuple[Trace, Snapshot, Rules]:
    """The head's jobs and nodes, and its own rules unless others were ``told``."""
    from beowulf.model.codec import decode
    from beowulf.sim import read_history

    with said.client() as client:
        lines = "\n".join(json.dumps(event) for event in client.events())
        own = rules if told else decode(type(rules), json.dumps(client.rules()))
    trace, cluster = read_history(lines, name="history", accelerators=rules.market.accelerators)
    return trace, cluster, replace(own, market=rules.market)


def _workload(
    path: Path | None,
    cluster: Snapshot | None,
    generate: int | None,
    seed: int,
    throughputs: Path | None,
    rules: Rules,
) -> tuple[Trace, Snapshot]:
    from beowulf.sim import generated, read_gavel, read_history, read_swf, read_throughputs

    if (path is None) == (generate is None):
        raise BadInput("give a trace, or --generate N to make one", where="TRACE")
    text = read_text(path) if path is not None else ""
    if path is not None and text.lstrip().startswith("{"):
        trace, own = read_history(text, name=str(path), accelerators=rules.market.accelerators)
        return trace, cluster or own
    if cluster is None:
        raise BadInput("is needed: on which machines?", where="--nodes", hint="--nodes nodes/sample-lab.yaml")
    if generate is not None:
        return generated(cluster, generate, seed=seed), cluster
    if throughputs is not None:
        rates = read_throughputs(read_text(throughputs), cluster, name=str(throughputs))
        return read_gavel(text, rates, cluster, name=str(path)), cluster
    return read_swf(text, cluster, name=str(path)), cluster


def _table(found: Mapping[str, Measures]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *found)
    for title, field, form in ROWS:
        table.add_row(title, *(form.format(getattr(one, field)) for one in found.values()))
    Console().print(table)
    for name, one in found.items():
        if one.never:
            say(f"{name}: {one.never} jobs never started: no machine of the cluster can run them")

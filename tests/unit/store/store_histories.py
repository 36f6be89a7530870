"""Random legal histories: every event fits the snapshot it is applied to."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from beowulf.model import event as ev
from beowulf.model import rented
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.apply_machines import MOVES
from beowulf.model.clock import Clock, ClockStepped
from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Dependency, Job, JobSpec, JobState, RankExit, Result, ShareState
from beowulf.model.node import Endpoint, Facts, Gpu
from beowulf.model.snapshot import Snapshot, held_shares

NODES = ("n1", "n2", "n3")


def history(random: Random, length: int) -> Iterator[tuple[ev.Event, Snapshot]]:
    """Pairs of an event and the snapshot after it."""
    snapshot = Snapshot()
    for step in range(length):
        event = _any_event(random, snapshot, 1000.0 + step / 7)
        snapshot = apply(snapshot, event)
        yield event, snapshot


def _any_event(random: Random, snapshot: Snapshot, at: float) -> ev.Event:
    live = [job for job in snapshot.jobs.values() if job.live or held_shares(job)]
    live.sort(key=lambda job: (job.number, job.array_index or 0))
    choices = [_submit, _node, _machine] if len(live) < 12 else [_node, _machine]
    if live:
        choices += [_job_event] * 4
    make = random.choice(choices)
    if make is _job_event:
        return _job_event(random, snapshot, at, random.choice(live))
    return make(random, snapshot, at)


def _submit(random: Random, snapshot: Snapshot, at: float) -> ev.Event:
    number = snapshot.next_number
    needs = tuple(Dependency("afterok", job_id) for job_id in list(snapshot.jobs)[:1] if random.random() < 0.3)
    spec = JobSpec(f"jöb-{number}", "echo '\u2028 \x1b[31m\n' # é", envs={"A": "1"}, dependencies=needs)
    array = tuple(range(random.choice([0, 0, 3])))
    key = random.choice(["", f"key-{number}"])
    return ev.JobSubmitted(at, str(number), number, spec, "ada", 1000, array, key, f"digest-{number}" if key else "")


def _node(random: Random, snapshot: Snapshot, at: float) -> ev.Event:
    node = random.choice(NODES)
    if node not in snapshot.nodes:
        return ev.NodeAdded(at, node, Endpoint(f"10.0.0.{node[1]}"), "ssh-ed25519 AAAA", ("old",), {"rack": "1"})
    facts = Facts(cpus=(0, 1, 2), gpus=(Gpu(0, "K80", "nvidia", "Tesla K80", 11441),), clock_skew_s=0.1)
    return random.choice(
        [
            ev.NodeUp(at, node, f"/home/ada/.beowulf/c/{node}", facts),
            ev.NodeDown(at, node, "three heartbeats were missed"),
            ev.NodeDrained(at, node, "fan", "root"),
            ev.NodeResumed(at, node, "root"),
            ev.NodeRekeyed(at, node, "ssh-ed25519 BBBB", "root"),
            ev.PeersUnreachable(at, node, random.choice(NODES), "timed out", at + 60),
            ev.NodeRemoved(at, node),
            ev.ControllerStarted(at, 2),
            ClockStepped(at, by_s := random.choice((-600.0, 600.0)), Clock(at, "boot", at - 7.0), f"{by_s}"),
        ]
    )


def _machine(random: Random, snapshot: Snapshot, at: float) -> ev.Event:
    live = [machine for machine in snapshot.machines.values() if machine.live]
    if len(live) < 2:
        number = snapshot.machines_made + 1
        offer = Offer("aws", "us-east-1", "us-east-1a", "g4dn.xlarge", 4, 16384, "T4", 1, hourly_usd=0.5)
        job_id = next(iter(snapshot.jobs), "")
        money = (Market.SPOT, 0.5, "digest", 900.0, at + 1800.0)
        return rented.MachineIntended(
            at, f"aws-{number}", number, f"token-{number}", offer, *money, "key", job_id, "ada"
        )
    machine = random.choice(sorted(live, key=lambda one: one.number))
    kind = random.choice([event for state, event in MOVES if state is machine.state])
    made: dict[type, ev.Event] = {
        rented.MachineBooting: rented.MachineBooting(at, machine.id, f"i-{machine.number}", at),
        rented.MachineReady: rented.MachineReady(at, machine.id),
        rented.MachineBusy: rented.MachineBusy(at, machine.id),
        rented.MachineIdle: rented.MachineIdle(at, machine.id),
        rented.MachineRenewed: rented.MachineRenewed(at, machine.id, at + 900.0),
        rented.EgressCounted: rented.EgressCounted(at, machine.id, 1_000_000),
        rented.ReclaimNoticed: rented.ReclaimNoticed(at, machine.id, at + 120.0),
        rented.MachineDraining: rented.MachineDraining(at, machine.id, "idle"),
        rented.MachineEnding: rented.MachineEnding(at, machine.id, "idle"),
        rented.MachineTrouble: rented.MachineTrouble(at, machine.id, "throttled", random.random() < 0.5),
        rented.MachineGone: rented.MachineGone(at, machine.id, "terminated", at, 0.25),
    }
    return made[kind]


def _job_event(random: Random, snapshot: Snapshot, at: float, job: Job) -> ev.Event:
    if job.state is JobState.PENDING:
        if random.random() < 0.2:
            return ev.JobEnded(at, job.id, Result.CANCELLED, "cancelled by ada")
        return _placed(random, at, job)
    held = [(attempt.number, share) for attempt in job.attempts for share in _uncleared(attempt.shares)]
    number, node = random.choice(held) if held else (len(job.attempts), "n1")
    cleared = ev.ShareCleared(at, job.id, number, node)
    newest = len(job.attempts)
    if job.state is JobState.ENDED:
        return cleared
    moves: list[ev.Event] = [
        ev.AttemptLaunched(at, job.id, newest, 29500),
        ev.ShareStarted(at, job.id, newest, node),
        ev.ProcessExited(at, job.id, newest, RankExit(random.choice("01"), node, 137, 9, at)),
        ev.CancelRequested(at, job.id, "ada"),
        ev.AttemptEnding(at, job.id, newest, random.choice(list(Result)), "rank 1 ended with 137"),
    ]
    if job.state is JobState.RUNNING:
        moves = moves[2:]
    if job.state is JobState.COMPLETING:
        requeue = random.random() < 0.3
        moves = [cleared, ev.AttemptEnded(at, job.id, newest, Result.NODE_FAIL, "n1 is down", requeue)]
    return random.choice(moves)


def _placed(random: Random, at: float, job: Job) -> ev.JobPlaced:
    nodes = random.sample(NODES, random.choice([1, 2]))
    shares = tuple(Share(node, (RankSlot(rank, 0, (rank,)),), 64) for rank, node in enumerate(nodes))
    return ev.JobPlaced(at, job.id, len(job.attempts) + 1, Allocation(shares))


def _uncleared(shares: object) -> list[str]:
    assert isinstance(shares, dict)
    return [node for node, state in shares.items() if state is not ShareState.CLEARED]

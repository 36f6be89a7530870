"""Bursting for real: the daemon, an emulated EC2 with real hosts behind it, jobs that find no room in the lab."""

from __future__ import annotations

import contextlib
import random
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from emulator.starting import Emulator, until
from real_head import RealHead

from beowulf.client import Client
from beowulf.model.errors import Unreachable
from beowulf.model.job import Burst, Checkpointing, JobSpec

pytestmark = [pytest.mark.root, pytest.mark.cluster, pytest.mark.usefixtures("aws_credentials")]

SETTINGS = """
heartbeat_s: 1s
clouds:
  aws: {{regions: [us-east-1], endpoint: "{url}", image: ami-1, options: {{address: private}}}}
burst:
  budget: {{month: 5.00}}
  stale_after: 3650d  # the prices that ship have one day; this is run on any
  lease: 60s
  idle_release: 1s
  ready_timeout: 120s
  grace: 3s
  list_every: 1s
"""


@pytest.fixture
def ec2(cloud: Callable[..., Emulator]) -> Emulator:
    return cloud("ec2", boot_s=0.5)


@pytest.fixture
def bursting(tmp_path: Path, ec2: Emulator) -> Iterator[RealHead]:
    home = tmp_path / "head"
    home.mkdir()
    (home / "settings.yaml").write_text(SETTINGS.format(url=ec2.url))
    head = RealHead(home)
    head.up()
    yield head
    head.down()


def spec(script: str, nodes: int = 1, *, spot: bool = False, **more: Any) -> JobSpec:
    burst = Burst("prefer", use_spot=spot, on_demand=not spot)
    return JobSpec("burst", script, min_nodes=nodes, max_nodes=nodes, max_duration_s=120.0, burst=burst, **more)


def nothing_is_left(head: RealHead, ec2: Emulator) -> None:
    until(lambda: not ec2.live(), what="the machines to be given back")
    until(lambda: not head.client.machines()["machines"], what="the store to know it")


def test_a_gang_runs_on_rented_machines_and_they_are_gone_afterwards(bursting: RealHead, ec2: Emulator) -> None:
    burst = Burst("prefer", use_spot=False, results_mib=5)
    job = bursting.submit(replace(spec("head -c 2000000 /dev/zero > out", nodes=2, outputs=("out",)), burst=burst))
    done = bursting.ended(job, 120)
    assert done["word"] == "COMPLETED", done["reason"] + bursting.log()
    assert len(ec2.machines()) == 2
    nothing_is_left(bursting, ec2)
    assert bursting.client.nodes() == []
    assert not list((bursting.home / "machine-keys").iterdir())
    [line] = bursting.client.cost(by="job")["lines"]
    assert (line["name"], line["machines"]) == (job, 2) and line["cost_usd"] > line["egress_usd"]
    assert line["egress_usd"] == pytest.approx(2 * 0.002 * 0.09)  # of each of them 2 MB came home
    assert line["foretold_usd"] == pytest.approx(5 * 1.048576e-3 * 0.09, rel=1e-3)


FAILPOINTS = (
    "launch.after_intent",
    "launch.in_flight",
    "launch.after_call",
    "destroy.after_intent",
    "destroy.after_call",
    "launch.before_intent",
    "launch.after_commit",
    "destroy.before_intent",
    "destroy.after_commit",
)
REAL_SEEDS, MORE_SEEDS = range(5), range(5, 32)


def trouble(chance: random.Random) -> dict[str, Any]:
    """Rules of the cloud for one seed."""
    return {
        "lose_replies": [{"action": chance.choice(("RunInstances", "TerminateInstances", "DescribeInstances"))}],
        "lose_requests": [{"action": "DescribeInstances"}] if chance.random() < 0.3 else [],
        "unlisted_s": chance.choice((0.0, 1.0)),
        "ending_s": chance.choice((0.0, 0.5)),
    }


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", [REAL_SEEDS, pytest.param(MORE_SEEDS, marks=pytest.mark.slow)], ids=["five", "more"])
def test_a_head_killed_at_the_worst_points_rents_one_machine_and_ends_it(
    seeds: range, bursting: RealHead, ec2: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1, F2 and F6 with real hosts: the seed says where the head dies and what the cloud loses meanwhile."""
    for number, seed in enumerate(seeds, start=1):
        failpoint = FAILPOINTS[seed % len(FAILPOINTS)]
        ec2.rules(**trouble(random.Random(seed)))
        killed_there(failpoint, f"seed {seed}", bursting, monkeypatch)
        nothing_is_left(bursting, ec2)
        assert len(ec2.machines()) == number, f"seed {seed}, killed at {failpoint}"


def killed_there(failpoint: str, key: str, head: RealHead, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that dies there once; the next one goes on until the job is done."""
    head.down()
    monkeypatch.setenv("BEOWULF_FAILPOINT", f"{failpoint}:kill")
    head.up()
    with contextlib.suppress(Unreachable), Client(head.home / "api.sock", patience_s=0.0) as client:
        client.submit(spec("hostname"), key=key)  # the intent follows in the same turn
    head.wait_for(lambda: head.process is not None and head.process.poll() == -9, f"{failpoint} to kill it")
    monkeypatch.delenv("BEOWULF_FAILPOINT")
    head.up()
    done = head.ended(head.submit(spec("hostname"), key=key), 120)
    assert done["word"] == "COMPLETED", done["reason"] + head.log()


SAVES_WHEN_ASKED = """
import os, signal, sys, time
from pathlib import Path
folder = Path(os.environ["BEOWULF_CHECKPOINT"])
if list(folder.glob("*")):
    sys.exit(0)
def save(number, frame):
    folder.mkdir(exist_ok=True)
    (folder / "state").write_text("half done")
    with open(os.environ["BEOWULF_REPORT"], "a") as report:
        report.write('{"checkpoint": "state", "step": 5}\\n')
signal.signal(signal.SIGUSR1, save)
while True:
    time.sleep(0.1)
"""


def test_a_spot_machine_that_is_taken_back_gets_a_checkpoint_first(bursting: RealHead, ec2: Emulator) -> None:
    """F28: notice → signal → checkpoint home → queued again → the next machine goes on from it."""
    script = f"exec python3 -c {shlex.quote(SAVES_WHEN_ASKED)}"
    job = bursting.submit(spec(script, spot=True, checkpoint=Checkpointing("ckpt")))
    bursting.is_running(job, 120)
    ec2.reclaim(ec2.live()[0]["id"], 240.0)
    done = bursting.ended(job, 120)
    assert done["word"] == "COMPLETED", done["reason"] + bursting.log()
    first, second = done["attempts"]
    assert first["ending"] == "PREEMPTED" and "takes it back" in first["reason"]
    assert first["allocation"]["shares"][0]["node"] != second["allocation"]["shares"][0]["node"]
    assert done["checkpoint"] is not None and done["retries"] == 0
    nothing_is_left(bursting, ec2)


ONE_TYPE = """
defaults: {{as_of: {day}, source: test}}
offers:
  - {{provider: aws, region: us-east-1, machine_type: c5.large, cpus: 2, memory: 4GB, price: 0.085, spot_price: 0.034}}
"""


def test_a_job_with_a_deadline_falls_back_to_machines_nobody_takes_away(bursting: RealHead, ec2: Emulator) -> None:
    """On spot while there is time to lose it; once it was taken back and none is left, on demand."""
    bursting.down()
    (bursting.home / "catalogue.yaml").write_text(ONE_TYPE.format(day=datetime.now(UTC).date()))
    bursting.up()
    script = f"exec python3 -c {shlex.quote(SAVES_WHEN_ASKED)}"
    # 20 minutes by its limit, and in 16 more a spot machine can still be lost and another one fetched.
    burst = Burst("auto", deadline_s=20 * 60.0 + 1000.0)
    plain = spec(script, checkpoint=Checkpointing("ckpt"))
    job = bursting.submit(replace(plain, max_duration_s=20 * 60.0, burst=burst))
    bursting.is_running(job, 120)
    ec2.rules(capacity={"*/*/spot": 0})
    ec2.reclaim(ec2.live()[0]["id"], 240.0)
    done = bursting.ended(job, 120)
    assert done["word"] == "COMPLETED", done["reason"] + bursting.log()
    machines = {one["id"]: one for one in bursting.client.machines(every=True)["machines"]}
    used = [machines[one["allocation"]["shares"][0]["node"]] for one in done["attempts"]]
    assert [one["market"] for one in used] == ["spot", "on-demand"] and used[0]["reclaim_at"]
    assert [one["market"] for one in machines.values() if one["sold_out"]] == ["spot"]
    nothing_is_left(bursting, ec2)

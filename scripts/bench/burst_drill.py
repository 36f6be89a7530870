"""The drill of renting, real but for the bill: a full lab, the job that ships, emulated machines with real hosts."""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bed import CHECKOUT, RealHead, cpu_seconds, lab_of
from measure import figure

sys.path.insert(0, str(CHECKOUT / "tests" / "cloud"))

from emulator.starting import Emulator, until
from real_head import ENDED

from beowulf.model.cloud import Offer
from beowulf.model.job import Burst, JobSpec, Resources
from beowulf.specs.catalogue import catalogue_text

BOOT_S = 2.0
IDLE_S = 5.0
TWENTY = 20
PATIENCE_S = 600
SETTINGS = """
heartbeat_s: 1s
clouds:
  aws: {{regions: [us-east-1], endpoint: "{url}", image: ami-1, options: {{address: private}}}}
burst:
  budget: {{month: 50.00}}
  stale_after: 3650d  # the prices that ship have one day; this is run on any
  idle_release: {idle_s:g}s
  grace: 3s
"""
Story = dict[str, float]
"""Of one machine: kind of event → when it was last committed."""


@contextmanager
def renting(idle_s: float, disks: str = "") -> Iterator[tuple[RealHead, Emulator]]:
    """A head that may rent from an emulated EC2, whose hosts boot two seconds after the order. ``disks``: where theirs
    lie, which begin as copies of this machine's /etc."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "AKIAEMULATED", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    here = tempfile.TemporaryDirectory(prefix="beowulf-bench-")
    with here as folder, tempfile.TemporaryDirectory(prefix="beowulf-bench-", dir=disks or None) as cloud:
        ec2 = Emulator.start(Path(cloud) / "ec2", "ec2", boot_s=BOOT_S)
        head = RealHead(Path(folder) / "head")
        try:
            head.home.mkdir()
            (head.home / "settings.yaml").write_text(SETTINGS.format(url=ec2.url, idle_s=idle_s))
            (head.home / "catalogue.yaml").write_text(catalogue_text([offer()], heading="of a bench"))
            head.up()
            yield head, ec2
        finally:
            head.down()
            ec2.stop()


def offer() -> Offer:
    """At a price of today: that of the catalogue which ships is too old to buy by one day."""
    day = datetime.now(UTC).date().isoformat()
    return Offer("aws", "us-east-1", "", "t3.medium", 2, 4096, hourly_usd=0.0416, as_of=day, source="a bench")


class Doors:
    """When each instance's sshd said its first word, by this machine's clock; asked twenty times a second."""

    def __init__(self, ec2: Emulator) -> None:
        self.opened: dict[str, float] = {}
        self._ec2 = ec2
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Doors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with ThreadPoolExecutor(TWENTY) as pool:  # a slow door is not to keep the others from being seen
            while not self._over.wait(0.05):
                shut = {name: at for name, at in self._ec2.addresses().items() if name not in self.opened}
                found = zip(shut, pool.map(opened_at, shut.values()), strict=True)
                self.opened |= {name: at for name, at in found if at}


def opened_at(address: str) -> float:
    """Now, if an sshd speaks there; else 0."""
    try:
        with socket.create_connection((address, 22), timeout=0.2) as door:
            return time.time() if door.recv(4) == b"SSH-" else 0.0
    except OSError:
        return 0.0


def stories(head: RealHead) -> tuple[dict[str, Story], dict[str, str]]:
    """(what happened to each machine, its instance) of all there ever were."""
    told: dict[str, Story] = {}
    instances: dict[str, str] = {}
    for event in head.client.events():
        machine = event["body"].get("machine") or event["body"].get("node")
        if machine in told or event["kind"] == "MachineIntended":
            story = told.setdefault(machine, {})
            if event["kind"] != "NodeUp" or "NodeUp" not in story:  # of several the first: it is linked
                story[event["kind"]] = event["at"]
            instances[machine] = event["body"].get("instance_id") or instances.get(machine, "")
    return told, {machine: name.rpartition("/")[2] for machine, name in instances.items()}


def waits(told: Mapping[str, Story], instances: Mapping[str, str], doors: Doors) -> list[float]:
    """Per machine, the seconds from its sshd's first word until it took jobs."""
    return [story["MachineReady"] - doors.opened[instances[machine]] for machine, story in told.items()]


def trained(head: RealHead) -> tuple[float, list[str]]:
    """The job that ships → (its accuracy, its nodes)."""
    job = head.cli("submit", "jobs/digits-burst.yaml").stdout.strip()
    done = head.ended(job, PATIENCE_S)
    assert done["word"] == "COMPLETED", f"{done['reason']}\n{head.log()}"
    found = json.loads((head.home / "jobs" / job / "outputs" / "results" / "accuracy.json").read_text())
    assert found["ranks"] == 4
    return found["accuracy"], [share["node"] for share in done["attempts"][-1]["allocation"]["shares"]]


def train() -> None:
    with lab_of(2) as lab, renting(IDLE_S) as (head, ec2):
        head.add(lab)
        here, at_home = trained(head)
        everything = Resources(all_cpus=True)
        taken = JobSpec("taken", "sleep 7200", min_nodes=2, max_nodes=2, max_duration_s=7200.0, resources=everything)
        head.is_running(head.submit(taken))
        begin = time.monotonic()
        with Doors(ec2) as doors:
            there, away = trained(head)
        took_s = time.monotonic() - begin
        until(lambda: not ec2.live(), 120, "the machines to be given back")
        until(lambda: not head.client.machines()["machines"], 60, "the store to know it")
        told, instances = stories(head)
        assert set(at_home) == set(lab.hosts) and set(away) == set(told), (at_home, away, sorted(told))
        print(f"4 ranks of jobs/digits-burst.yaml: {here:.4f} of the digits right on the free lab")
        print(f"  {there:.4f} on {', '.join(away)} while it is full (target: the same)")
        print(f"  from submit to the end there, environment and all: {took_s:.1f} s; machines left: none")
        print(
            f"  node ready after its sshd answers: {figure(waits(told, instances, doors), 's', 2)} (target at most 10)"
        )
        late = [story["MachineDraining"] - story["MachineIdle"] - IDLE_S for story in told.values()]
        print(f"  given back later than idle_release ({IDLE_S:g} s) says: {figure(late, 's', 2)}", flush=True)


def seldom_asked(head: RealHead, job: str) -> dict[str, Any]:
    """The job once it has ended. Who asks twenty times a second, as tests do, would be part of what is measured."""
    begin = time.monotonic()
    while (told := head.client.job(job))["word"] not in ENDED and time.monotonic() - begin < PATIENCE_S:
        time.sleep(0.5)
    return told


PHASES = {
    "MachineBooting": "is launched",
    "door": "answers at its sshd",
    "NodeUp": "has an agent",
    "MachineReady": "takes jobs",
}


def joins(rounds: int) -> None:
    """Twenty instances at once, again and again."""
    phases: dict[str, list[float]] = {name: [] for name in PHASES}
    ready: list[float] = []
    of_head: list[float] = []
    with renting(600.0, disks="/dev/shm") as (head, ec2):  # twenty times /etc would measure the disk below
        assert head.process is not None
        for _ in range(rounds):
            spent_s = cpu_seconds(head.process.pid)
            before = set(stories(head)[0])
            with Doors(ec2) as doors:
                burst = Burst("prefer", use_spot=False)
                job = JobSpec("join", "true", min_nodes=TWENTY, max_nodes=TWENTY, max_duration_s=600.0, burst=burst)
                done = seldom_asked(head, head.submit(job))
            assert done["word"] == "COMPLETED", f"{done['reason']}\n{head.log()}"
            of_head.append(cpu_seconds(head.process.pid) - spent_s)
            told, instances = stories(head)
            told = {machine: story for machine, story in told.items() if machine not in before}
            assert len(told) == TWENTY
            ordered = min(story["MachineIntended"] for story in told.values())
            for machine, story in told.items():
                story["door"] = doors.opened[instances[machine]]
            for name, seconds in phases.items():
                seconds.append(max(story[name] for story in told.values()) - ordered)
            ready.append(statistics.median(waits(told, instances, doors)))
            for machine in told:
                head.client.terminate(machine, at_once=True)
            until(lambda: not ec2.live(), 120, "the machines to be gone")
    print(f"{TWENTY} instances, each with {BOOT_S:g} s of boot delay, {rounds} rounds")
    print("from the order until the last of them")
    for name, words in PHASES.items():
        target = " (target at most 5)" if name == "MachineReady" else ""
        print(f"  {words}: {figure(phases[name], 's', 2)}{target}")
    print(f"  takes jobs after its own sshd answers, median of {TWENTY}: {figure(ready, 's', 2)}")
    print(f"  the head's own CPU for a round: {figure(of_head, 's', 2)}; hosts and cloud share its cores", flush=True)

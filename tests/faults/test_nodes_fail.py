"""F11–F17: nodes that lose power or their cable, do not see each other, flap, or are rebooted under a job."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aftermath
import pytest
from conftest import FOUR, with_settings
from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import JobSpec, Launcher, Retry

FOREVER = "python3 -c 'import time; time.sleep(9999)' gang-$BEOWULF_ATTEMPT"
GANG = JobSpec("gang", FOREVER, launcher=Launcher.TORCHRUN, min_nodes=3, max_nodes=3, kill_grace_s=1)


def attempts(head: RealHead, job: str) -> list[dict[str, Any]]:
    return list(head.client.job(job)["attempts"])


def is_running_again(head: RealHead, job: str, number: int = 2) -> None:
    def again() -> bool:
        return len(attempts(head, job)) == number and head.client.job(job)["word"] == "RUNNING"

    head.wait_for(again, f"attempt {number} of job {job} to run")


def ranks(lab: Lab, host: str, attempt: int) -> list[int]:
    return [pid for pid, command in lab.processes(host) if command.endswith(f"gang-{attempt}")]


def node(head: RealHead, name: str) -> dict[str, Any]:
    return next(node for node in head.client.nodes() if node["id"] == name)


def nodes_of(head: RealHead, job: str, number: int) -> list[str]:
    return [share["node"] for share in attempts(head, job)[number - 1]["allocation"]["shares"]]


@pytest.mark.parametrize("cut", ["power", "cable"])
def test_a_gang_that_loses_a_node_goes_on_elsewhere(lab: Lab, quick_head: RealHead, cut: str) -> None:
    head = quick_head
    job = head.submit(GANG)
    head.is_running(job)
    first = nodes_of(head, job, 1)
    lost = first[1]
    (lab.power_off if cut == "power" else lab.link_down)(lost)
    is_running_again(head, job)
    assert node(head, lost)["state"] == "DOWN"
    assert "3 heartbeats" in attempts(head, job)[0]["reason"] and lost in attempts(head, job)[0]["reason"]
    assert attempts(head, job)[0]["ending"] == "NODE_FAIL"
    assert lost not in nodes_of(head, job, 2)
    for name in set(first) - {lost}:
        assert not ranks(lab, name, 1), "a survivor of the first attempt still runs"
    (lab.power_on if cut == "power" else lab.link_up)(lost)
    head.nodes_up((lost,))
    head.wait_for(lambda: not ranks(lab, lost, 1), "the cut-off rank to end")
    assert head.client.job(job)["word"] == "RUNNING"
    assert len(attempts(head, job)) == 2
    free = head.submit(JobSpec("free", "true", nodelist=(lost,)))
    assert head.ended(free)["word"] == "COMPLETED"
    head.client.cancel(job)
    assert head.ended(job)["word"] == "CANCELLED"
    head.wait_for(lambda: not aftermath.of_jobs(lab), "everything to be gone")


@pytest.fixture
def forgetful_head(lab: Lab, quick_head: RealHead) -> Iterator[RealHead]:
    """What it comes to know of who sees whom is forgotten in the end."""
    yield quick_head
    lab.heal()
    quick_head.down()
    quick_head.up()


def test_nodes_that_do_not_see_each_other_are_told_of_and_kept_apart(lab: Lab, forgetful_head: RealHead) -> None:
    head = forgetful_head
    lab.partition("n1", "n2")
    pair = JobSpec("pair", FOREVER, launcher=Launcher.TORCHRUN, min_nodes=2, max_nodes=2, kill_grace_s=1)
    job = head.submit(JobSpec(**{**fields(pair), "nodelist": ("n1", "n2", "n3")}))
    head.is_running(job)
    assert set(nodes_of(head, job, len(attempts(head, job)))) != {"n1", "n2"}
    told = attempts(head, job)[0]["reason"]
    assert "n1 cannot reach n2" in told or "n2 cannot reach n1" in told
    assert head.client.job(job)["retries"] == 0
    head.client.cancel(job)
    waits = head.submit(JobSpec(**{**fields(pair), "nodelist": ("n1", "n2")}))
    head.wait_for(lambda: "reach" in head.client.why(waits)["sentence"], "the reason to be told")
    assert head.client.job(waits)["word"] == "PENDING"
    said = head.cli("why", waits).stdout
    assert "n1 and n2 do not reach each other" in said, said
    head.client.cancel(waits)


def fields(spec: JobSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def test_a_lease_ends_what_the_head_cannot_see_and_the_late_report_changes_nothing(
    lab: Lab, fresh_head: RealHead
) -> None:
    head = fresh_head
    with_settings(head, "heartbeat_s: 1\nlease_s: 6\nnode_fail_after_s: 1\nlost_after_s: 2\n")
    head.up()
    head.add(lab, ("n5", "n6"))
    job = head.submit(JobSpec("alone", FOREVER, nodelist=("n5", "n6"), kill_grace_s=1))
    head.is_running(job)
    (lost,) = nodes_of(head, job, 1)
    lab.partition("head", lost)
    is_running_again(head, job)
    head.wait_for(lambda: not ranks(lab, lost, 1), "the lease to end what nobody sees")
    assert node(head, lost)["state"] == "DOWN"
    before = attempts(head, job)[0]
    lab.heal()
    head.nodes_up((lost,))
    all_of_it = head.submit(JobSpec("next", "true", nodelist=(lost,)))
    assert head.ended(all_of_it)["word"] == "COMPLETED"
    after = attempts(head, job)
    assert len(after) == 2 and head.client.job(job)["word"] == "RUNNING"
    assert after[0] | {"shares": 0} == before | {"shares": 0}, "a late report changed what had been decided"
    head.client.cancel(job)
    head.ended(job)


def test_a_job_outlives_its_lease_while_the_head_is_there(lab: Lab, fresh_head: RealHead) -> None:
    head = fresh_head
    with_settings(head, "heartbeat_s: 0.5\nlease_s: 3\n")
    head.up()
    head.add(lab, ("n5",))
    # A machine that stands still for a whole lease ends an attempt; were none renewed, no attempt would last so long.
    job = head.submit(JobSpec("long", "sleep 7; echo lived", retry=Retry(("node_fail",), 5)))
    done = head.ended(job)
    assert done["word"] == "COMPLETED", done["reason"]
    assert head.text(job, "0", len(done["attempts"])) == b"lived\n"


def test_a_flapping_node_is_left_alone_and_requeues_are_bounded(lab: Lab, quick_head: RealHead) -> None:
    head = quick_head
    job = head.submit(JobSpec("unlucky", FOREVER, nodelist=("n4",), kill_grace_s=1, retry=Retry(("node_fail",), 2)))
    for number in (1, 2, 3):
        is_running_again(head, job, number)
        lab.power_off("n4")
        head.wait_for(lambda: node(head, "n4")["state"] == "DOWN", "the loss to be seen")
        lab.power_on("n4")
        head.nodes_up(("n4",))
    done = head.ended(job)
    assert done["word"] == "NODE_FAIL" and len(done["attempts"]) == 3
    lab.power_off("n4")
    head.wait_for(lambda: node(head, "n4")["drained"], "the quarantine")
    lab.power_on("n4")
    head.nodes_up(("n4",))
    assert "4 failures" in node(head, "n4")["draining_reason"]
    waits = head.submit(JobSpec("later", "true", nodelist=("n4",)))
    head.wait_for(lambda: "n4" in head.cli("why", waits).stdout, "the reason to be told")
    assert head.client.job(waits)["word"] == "PENDING"
    assert head.cli("nodes", "resume", "n4").returncode == 0
    assert head.ended(waits)["word"] == "COMPLETED"


def test_a_rebooted_node_fails_its_job_and_foreign_processes_are_safe(lab: Lab, quick_head: RealHead) -> None:
    """F17: the numbers that were the job's belong to others after the boot."""
    head = quick_head
    job = head.submit(JobSpec("rebooted", FOREVER, nodelist=("n3",), kill_grace_s=1))
    head.is_running(job)
    head.wait_for(lambda: len(ranks(lab, "n3", 1)) == 1, "the rank to be there")
    inner = [inside(pid) for pid in ranks(lab, "n3", 1)]
    lab.power_off("n3")
    lab.power_on("n3")
    script = "for p in %s; do echo $((p - 1)) > /proc/sys/kernel/ns_last_pid && setsid sleep 777 & done; wait"
    holder = lab.ssh_command("n3", "sh", "-c", f"'{script % ' '.join(map(str, inner))}'")
    foreign = subprocess.Popen(holder, stdin=subprocess.DEVNULL)
    head.wait_for(lambda: len(sleepers(lab, "n3")) == len(inner), "others to have the numbers")
    head.nodes_up(("n3",))
    is_running_again(head, job)
    assert "n3" in attempts(head, job)[0]["reason"]
    assert attempts(head, job)[0]["ending"] == "NODE_FAIL"
    head.client.cancel(job)
    head.ended(job)
    assert len(sleepers(lab, "n3")) == len(inner), "somebody else's process was signalled"
    for pid in sleepers(lab, "n3"):
        os.kill(pid, signal.SIGKILL)
    foreign.wait()


def sleepers(lab: Lab, host: str) -> list[int]:
    return [pid for pid, command in lab.processes(host) if command == "sleep 777"]


def inside(pid: int) -> int:
    """The number a process has within its host's PID namespace."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1])


# It writes while the head is away, and goes on to its end only with the next one.
GOES_ON = """
for i in $(seq 60); do
    echo line $i
    sleep 0.05
    case $i in 20 | 40) until [ -e ~/goes-on-$i ]; do sleep 0.05; done ;; esac
done
exit 5
"""


def test_a_head_that_restarts_takes_a_running_job_up_again(lab: Lab, quick_head: RealHead) -> None:
    """F15: no gap and no repeat in the log, and the exit code is kept."""
    head = quick_head
    for name in FOUR:
        lab.run(name, ["sh", "-c", "rm -f ~/goes-on-*"])
    job = head.submit(JobSpec("goes-on", GOES_ON, retry=Retry((), 0)))
    for seen, enough in ((b"line 10\n", 20), (b"line 30\n", 40)):
        head.wait_for(lambda seen=seen: seen in head.text(job, "0"), "the job to write")  # type: ignore[misc]
        head.kill()
        head.up()
        assert head.client.job(job)["word"] == "RUNNING"
        for name in FOUR:
            lab.run(name, ["touch", f"/root/goes-on-{enough}"])
    done = head.ended(job)
    assert done["word"] == "FAILED" and "exit code 5" in done["reason"]
    assert head.text(job, "0") == b"".join(b"line %d\n" % number for number in range(1, 61))
    assert head.cli("logs", job).stdout.splitlines()[-1].endswith("line 60")


@pytest.mark.parametrize("code", [0, 3])
def test_an_end_while_the_head_is_away_is_found_on_the_node(lab: Lab, quick_head: RealHead, code: int) -> None:
    """F16."""
    head = quick_head
    for name in FOUR:
        lab.run(name, ["rm", "-f", f"/root/alone-{code}"])
    script = f"until [ -e ~/alone-{code} ]; do sleep 0.1; done; echo last words; exit {code}"
    job = head.submit(JobSpec("ends-alone", script, min_nodes=2, max_nodes=2, retry=Retry((), 0)))
    head.is_running(job)
    head.kill()
    for name in FOUR:
        lab.run(name, ["touch", f"/root/alone-{code}"])
    head.wait_for(lambda: not aftermath.of_jobs(lab), "the job to end")
    head.up()
    done = head.ended(job)
    assert done["word"] == ("FAILED" if code else "COMPLETED"), done["reason"]
    assert (f"exit code {code}" in done["reason"]) == bool(code)
    assert aftermath.logs(head, job) == {"0": b"last words\n", "1": b"last words\n"}
    assert len(done["attempts"]) == 1
    assert set(done["attempts"][0]["shares"]) <= set(FOUR)

"""Verbs as people use them, over real hosts: what a plan says is what happens, and a job's life as `show` tells it."""

from __future__ import annotations

import json
from pathlib import Path

from real_head import RealHead

from beowulf.model.codec import decode
from beowulf.model.job import Checkpointing, JobSpec, Resources
from beowulf.probe import Course

JOB = """
name: plans
num_nodes: 2
max_duration: 10m
workdir: code
resources: {cpus: 1}
run: 'echo "$RANK of $WORLD_SIZE on $MASTER_ADDR"'
"""


def test_a_plan_names_what_the_start_then_does(head: RealHead, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("print()\n")
    (tmp_path / "job.yaml").write_text(JOB)
    known = head.client.jobs(name="plans")
    told = head.cli("plan", "job.yaml", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    for words in ("would start now", "2 threads, at most 10:00, 0.33 thread-hours; costs nothing there", "1 file, 8 b"):
        assert words in told.stdout, words
    assert head.cli("submit", "--dry-run", "job.yaml", cwd=tmp_path).stdout == told.stdout
    answer = json.loads(head.cli("plan", "job.yaml", "--json", cwd=tmp_path).stdout)
    assert head.client.jobs(name="plans") == known
    done = head.cli("submit", "job.yaml", "--wait", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(answer["ranks"]) == 2
    for rank in answer["ranks"]:
        env = rank["env"]
        assert f"{env['RANK']} of {env['WORLD_SIZE']} on {env['MASTER_ADDR']}" in done.stdout


def test_who_starts_next(head: RealHead) -> None:
    every = Resources(all_cpus=True)
    wide = JobSpec("wide", "sleep infinity", min_nodes=8, max_nodes=8, resources=every, max_duration_s=3600)
    first, second = head.submit(wide), head.submit(wide)
    head.is_running(first)
    answer = json.loads(head.cli("plan", "--json").stdout)
    assert [one["job_id"] for one in answer["starts"]] == [second] and answer["starts"][0]["at"] > answer["now"]
    shown = head.cli("plan").stdout.splitlines()
    assert shown[0].split() == ["JOBID", "NAME", "USER", "STARTS", "ENDS", "BY", "NODES"]
    assert shown[1].split()[:2] == [second, "wide"]
    for job in (first, second):
        head.client.cancel(job)
        head.ended(job)


def test_who_hands_in_what_can_never_start_is_told_at_once(head: RealHead, tmp_path: Path) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text("name: wide\nrun: echo ran\nnum_nodes: 1..2\n")
    done = head.cli("submit", str(file))
    assert "cannot start" not in done.stderr
    head.ended(done.stdout.strip())
    done = head.cli("submit", str(file), "--num-nodes", "99", "--array", "1-3")
    job = done.stdout.strip()
    assert f"job {job} cannot start on the nodes as they are: " in done.stderr and "99" in done.stderr
    head.client.cancel(job)
    done = head.cli("submit", str(file), "--num-nodes", "99", "--json")
    assert "cannot start" in done.stderr
    head.client.cancel(json.loads(done.stdout)["job_id"])


def test_a_number_whose_folder_is_there_is_not_given_again(fresh_head: RealHead) -> None:
    """As after a backup of the database was put back: the logs of two jobs would be one."""
    (fresh_head.home / "jobs" / "41_3" / "logs").mkdir(parents=True)
    (fresh_head.home / "jobs" / "notes").mkdir()
    fresh_head.up()
    assert fresh_head.submit(JobSpec("new", "true")) == "42"
    fresh_head.kill()
    fresh_head.up()
    assert fresh_head.submit(JobSpec("new", "true")) == "43"


def test_the_newest_events_are_shown(head: RealHead) -> None:
    before = head.cli("events").stdout.splitlines()
    newest = head.cli("events", "-n", "2").stdout.splitlines()
    after = head.cli("events").stdout.splitlines()  # nodes may have brought about one meanwhile
    assert len(before) > 3 and len(newest) == 2
    assert any(after[:count][-2:] == newest for count in range(len(before), len(after) + 1))
    assert head.cli("events", "-n", "2", "--after", "1").stdout.splitlines() == after[1:3]


def test_how_busy_its_machines_were_outlives_the_head(fresh_head: RealHead) -> None:
    fresh_head.home.mkdir()
    (fresh_head.home / "settings.yaml").write_text("heartbeat_s: 1\n")
    fresh_head.up()
    fresh_head.client.add_node("local", {"host": "localhost", "local": True})
    fresh_head.nodes_up(("local",))
    job = fresh_head.submit(JobSpec("busy", "while :; do :; done", checkpoint=Checkpointing("ckpt")))
    course = fresh_head.client.course
    fresh_head.wait_for(lambda: any(value > 0 for value in course(job).get("cpu", ())), "a sample")
    fresh_head.client.cancel(job)
    fresh_head.ended(job)
    written = fresh_head.home / "jobs" / job / "use" / "1.json"

    def last_words() -> bool:
        return written.exists() and any(use.cpu > 0 for use in decode(Course, written.read_bytes()).uses)

    fresh_head.wait_for(last_words, "its last words")
    before = course(job)
    fresh_head.kill()
    fresh_head.up()
    assert course(job) == before and max(before["cpu"]) > 0
    shown = fresh_head.cli("show", job).stdout
    assert "Use of its machines in" in shown and "processors" in shown and "Timeline" in shown
    told = json.loads(fresh_head.cli("show", job, "--json").stdout)
    assert told["course"]["cpu"] == before["cpu"] and told["checkpoints"] == []

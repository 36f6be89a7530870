"""F9, F20, F21, F30: submits that are repeated, hosts whose key changed, hosts that stall or refuse, hostile files."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aftermath
import pytest
from chaos_proxy import ChaosProxy, Mood
from real_head import RealHead

from beowulf.client import Client
from beowulf.lab import Lab
from beowulf.model.errors import BeowulfError, Refused
from beowulf.model.job import JobSpec
from beowulf.transport import fingerprint

SUBMITS = 8


def test_a_submit_over_killed_heads_makes_one_job(head: RealHead) -> None:
    """F9."""
    spec, own = JobSpec("once", "true"), uuid.uuid4().hex
    before = len(head.client.jobs())
    answers: list[str] = []

    def submit(number: int) -> None:
        client = Client(head.home / "api.sock")
        while True:
            try:
                answers.append(client.submit(spec, key=f"f9-{number}-{own}"))
                return
            except BeowulfError:
                threading.Event().wait(0.02)

    threads = [threading.Thread(target=submit, args=(number // 2,)) for number in range(2 * SUBMITS)]
    for number, thread in enumerate(threads):
        thread.start()
        if number % 5 == 2:
            head.kill()
            head.up()
    for thread in threads:
        thread.join()
    assert len(answers) == 2 * SUBMITS and len(set(answers)) == SUBMITS
    assert len(head.client.jobs()) == before + SUBMITS
    head.kill()
    head.up()
    assert head.client.submit(spec, key=f"f9-0-{own}") in answers
    with pytest.raises(Refused, match="was used for another request"):
        head.client.submit(JobSpec("other", "false"), key=f"f9-0-{own}")
    for job in set(answers):
        assert head.ended(job)["word"] == "COMPLETED"


@pytest.fixture
def small_lab(fresh_lab: Any) -> Lab:
    made: Lab = fresh_lab(3, subnet="10.78.9.0/24")
    return made


def node(head: RealHead, name: str) -> dict[str, Any]:
    return next(node for node in head.client.nodes() if node["id"] == name)


def new_host_key(lab: Lab, name: str) -> str:
    """The host is installed anew, as it were; → its new key."""
    private = next(path for path in lab.folder.rglob(name) if path.is_file())
    private.unlink()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private)], input="y\n", text=True, check=True
    )
    public = private.with_name(f"{name}.pub").read_text()
    lab.power_off(name)
    lab.power_on(name)
    return " ".join(public.split()[:2])


def test_a_changed_host_key_is_refused_until_it_is_pinned_anew(small_lab: Lab, fresh_head: RealHead) -> None:
    """F20."""
    head = fresh_head
    head.up()
    head.add(small_lab)
    pinned = small_lab.hosts["n2"].host_key
    shown = new_host_key(small_lab, "n2")
    assert shown != pinned and small_lab.hosts["n2"].host_key == shown
    head.wait_for(lambda: "key" in node(head, "n2")["reason"], "the change to be seen")
    both = [fingerprint(key) for key in (pinned, shown)]
    for said in (node(head, "n2")["reason"], head.cli("doctor", "n2").stdout):
        assert all(one in said for one in both), said
    assert "beowulf nodes rekey n2" in head.cli("doctor", "n2").stdout
    waits = head.submit(JobSpec("waits", "true", nodelist=("n2",)))
    refused = head.cli("nodes", "rekey", "n2", "--accept-key", both[0])
    assert refused.returncode == 4 and both[1] in refused.stderr
    assert head.client.job(waits)["word"] == "PENDING"
    mended = head.cli("nodes", "rekey", "n2", "--accept-key", both[1])
    assert mended.returncode == 0, mended.stderr
    assert head.ended(waits)["word"] == "COMPLETED"


@pytest.fixture
def proxies() -> Iterator[list[ChaosProxy]]:
    made: list[ChaosProxy] = []
    yield made
    for proxy in made:
        proxy.close()


def test_stalled_and_refusing_nodes_do_not_hold_up_the_others(
    small_lab: Lab, fresh_head: RealHead, proxies: list[ChaosProxy]
) -> None:
    """F21."""
    head = fresh_head
    head.up()
    there = small_lab.hosts["n3"]
    for name, mood in (("banner", Mood.STALL), ("auth", Mood.STALL_AFTER_BANNER), ("drops", Mood.DROP)):
        proxies.append(ChaosProxy((there.address, there.port), mood))
        end = {"host": "127.0.0.1", "port": proxies[-1].port, "user": there.user, "identity_file": there.identity_file}
        head.client.add_node(name, end, there.host_key)
    head.add(small_lab, ("n1", "n2"))
    job = head.submit(JobSpec("pair", "echo here", min_nodes=2, max_nodes=2))
    assert head.ended(job)["word"] == "COMPLETED"
    for name in ("banner", "auth", "drops"):
        head.wait_for(lambda name=name: node(head, name)["state"] == "DOWN", f"{name} to be DOWN")  # type: ignore[misc]
        assert node(head, name)["reason"]
        assert head.cli("doctor", name).returncode == 1
    job = head.submit(JobSpec("pair", "echo here", min_nodes=2, max_nodes=2))
    assert head.ended(job)["word"] == "COMPLETED"


def test_every_machine_of_a_file_gets_its_line_and_the_good_ones_are_added(
    small_lab: Lab, fresh_head: RealHead, tmp_path: Path
) -> None:
    head = fresh_head
    head.up()
    small_lab.power_off("n3")
    good, off = small_lab.hosts["n1"], small_lab.hosts["n3"]
    key = good.identity_file
    file = tmp_path / "nodes.yaml"
    file.write_text(
        f"defaults: {{user: root, identity_file: {key}}}\n"
        "nodes:\n"
        "  unknown: {host: no-such-host.invalid}\n"
        f"  down: {{host: {off.address}}}\n"
        f"  port: {{host: {small_lab.hosts['n2'].address}, port: 2}}\n"
        f"  refused: {{host: {small_lab.hosts['n2'].address}, user: stranger}}\n"
        f"  good: {{host: {good.address}}}\n"
    )
    done = head.cli("nodes", "add", "--file", str(file), "--trust-on-first-use")
    lines = done.stderr.splitlines() + done.stdout.splitlines()
    said = {name: [line for line in lines if line.startswith(f"{name}: ")] for name in BROKEN}
    assert done.returncode == 5, lines
    for name, words in BROKEN.items():
        assert len(said[name]) == 1 and re.search(words, said[name][0]), lines
    assert "Traceback" not in done.stderr
    head.nodes_up(("good",))
    assert [node["id"] for node in head.client.nodes()] == ["good"]


BROKEN = {
    "unknown": "no-such-host.invalid",
    "down": "did not answer|cannot be reached|No route",
    "port": "refused|cannot be reached",
    "refused": "none of our keys|refuse",
    "good": "added",
}

HOSTILE = {
    "bomb": "a: &a [x, x]\nb: &b [*a, *a]\nrun: *b\n",
    "tag": "run: !!python/object/apply:os.system ['touch /tmp/owned']\n",
    "twice": "name: a\nrun: 'true'\nname: b\n",
    "huge": "run: 'true'\nenvs:\n" + "".join(f"  A{n}: {'x' * 1000}\n" for n in range(50_000)),
    "climbs": "run: 'true'\nworkdir: ../../etc\n",
    "dollar": "run: 'true'\nworkdir: $(touch owned)\n",
    "newline": 'run: "true"\nname: "a\\nb"\n',
    "nul": 'run: ["a", "b\\0c"]\n',
    "dash": "run: 'true'\nnodelist: -oProxyCommand=id\n",
    "key": "run: 'true'\nenvs: {'A=B': x}\n",
    "binary": "run: \x00\x01\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_its_place_and_nothing_happens(
    head: RealHead, tmp_path: Path, name: str
) -> None:
    """F30."""
    file = tmp_path / "job.yaml"
    file.write_text(HOSTILE[name])
    jobs, happened = len(head.client.jobs()), len(of_people(head))
    files = sorted(os.listdir(head.home))
    for command in (("submit",), ("submit", "--dry-run"), ("submit", "--wait")):
        done = head.cli(*command, str(file), cwd=tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        assert re.search(r"job\.yaml:\d+:\d+: ", done.stderr) or (name == "huge" and "job.yaml" in done.stderr), (
            done.stderr
        )
        assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["job.yaml"]
    assert not Path("/tmp/owned").exists()
    assert len(head.client.jobs()) == jobs
    assert len(of_people(head)) == happened
    assert sorted(os.listdir(head.home)) == files


def of_people(head: RealHead) -> list[Any]:
    """Events but those nodes bring about by themselves."""
    return [event for event in aftermath.events(head) if not type(event).__name__.startswith("Node")]


def test_a_hostile_inventory_is_refused_with_its_place(head: RealHead, tmp_path: Path) -> None:
    file = tmp_path / "nodes.yaml"
    known = len(head.client.nodes())
    for text in ("nodes:\n  n1: {host: '-oProxyCommand=id'}\n", "nodes:\n  n[1-99999999]: {}\n", "nodes: &a [*a]\n"):
        file.write_text(text)
        done = head.cli("nodes", "add", "--file", str(file), "--trust-on-first-use")
        assert done.returncode == 2, done.stderr
        assert re.search(r"nodes\.yaml:\d+:\d+: ", done.stderr), done.stderr
    assert len(head.client.nodes()) == known


def test_up_after_a_kill_is_all_that_is_needed(fresh_head: RealHead) -> None:
    head = fresh_head
    head.up()
    job = head.submit(JobSpec("waits", "true"))
    assert head.process is not None
    second = head.cli("up", "--foreground")
    assert second.returncode == 4 and str(head.process.pid) in second.stderr, second.stderr
    head.kill()
    assert head.cli("ps").returncode == 5
    assert head.cli("up").returncode == 0
    try:
        assert "was up already" in head.cli("up").stderr
        assert head.client.job(job)["word"] == "PENDING"
    finally:
        assert head.cli("down").returncode == 0
    assert head.cli("down").returncode in (0, 5)

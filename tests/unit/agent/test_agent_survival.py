"""F33 and its kin: keeper, watcher, link killed in any order, with processes that do not want to go."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_driver import HOSTILE, LIMIT_S, UNTIL, Agent, carrying, marker, process, wait_for

from beowulf.agent import identity, sweep
from beowulf.agent.link import patience_left_s

SH = ["/bin/sh", "-c"]
Agents = Callable[..., Agent]


def start_hostile(agent: Agent, tag: str = "1.1", **fields: Any) -> str:
    mark = marker()
    agent.start(tag, [process([*SH, HOSTILE, mark])], **fields)
    agent.expect("running", attempt=tag)
    agent.log_until(tag, "0", b"up")
    wait_for(lambda: len(carrying(mark)) >= 8, "the hostile processes")
    return mark


def test_a_kill_leaves_nothing(agent: Agent) -> None:
    mark = start_hostile(agent)
    agent.send("kill", attempt="1.1", grace_s=0.3)
    cleared = agent.expect("cleared")
    assert carrying(mark) == []
    assert cleared["unkillable"] == [] and cleared["killed"] >= 6 and cleared["reason"] == "killed"


def test_strays_do_not_outlive_the_ranks(agent: Agent) -> None:
    mark = marker()
    stray = f"env -i setsid sh -c 'sleep {mark} & sleep {mark} & exit' & wait $!"
    cleared, _ = agent.run("1.1", [*SH, stray])
    assert carrying(mark) == []
    assert cleared["killed"] == 2 and cleared["reason"] == ""


def test_the_keeper_killed_first(agent: Agent) -> None:
    mark = start_hostile(agent)
    agent.kill_keeper("1.1")
    cleared = agent.expect("cleared")
    assert carrying(mark) == []
    assert cleared["reason"] == "keeper was killed"


def test_watcher_killed_then_keeper(agent: Agent) -> None:
    mark = start_hostile(agent)
    agent.kill_keeper("1.1", "watcher")
    agent.send("renew", leases={"1.1": 600})
    time.sleep(0.1)
    assert len(carrying(mark)) >= 8
    agent.kill_keeper("1.1")
    assert agent.expect("cleared")["reason"] == "keeper was killed"
    assert carrying(mark) == []


def test_link_and_keeper_and_watcher_killed_at_once(agents: Agents) -> None:
    first = agents()
    mark = start_hostile(first)
    state = first.state("1.1")
    for victim in (first.child.pid, state["watcher"][0], state["keeper"][0]):
        os.kill(victim, signal.SIGKILL)
    first.close()
    second = agents()
    [found] = second.welcome["attempts"]
    assert carrying(mark) == []
    assert (found["phase"], found["exit"]["reason"]) == ("cleared", "keeper was killed")


def test_link_killed_then_keeper(agents: Agents) -> None:
    first = agents()
    mark = start_hostile(first)
    first.kill_link()
    first.kill_keeper("1.1")
    wait_for((first.root / "attempts" / "1.1" / "spool" / "exit.json").exists, "the watcher's sweep")
    assert carrying(mark) == []
    second = agents()
    assert second.welcome["attempts"][0]["exit"]["reason"] == "keeper was killed"


def test_a_new_link_adopts_and_the_log_has_no_gap(agents: Agents) -> None:
    first = agents()
    count = 'i=0; while [ ! -e enough ]; do echo "line $i"; i=$((i+1)); sleep 0.005; done; exit 6'
    first.start("1.1", [process([*SH, count])])
    first.log_until("1.1", "0", b"line 20\n")
    kept = first.logs[("1.1", "0")]
    first.kill_link()
    second = agents()
    assert second.welcome["attempts"][0]["phase"] == "running"
    second.logs[("1.1", "0")] = kept
    second.follow("1.1", **{"0": len(kept)})
    second.let("1.1", "enough")
    cleared, log = second.finish("1.1")
    lines = log.splitlines()
    assert lines == [b"line %d" % number for number in range(len(lines))] and log.startswith(kept)
    assert cleared["exits"][0]["code"] == 6


def test_an_end_without_a_link_is_found_later(agents: Agents) -> None:
    first = agents()
    first.start("1.1", [process([*SH, f"echo before; {UNTIL.format('alone')}; echo after; exit 9"])])
    first.log_until("1.1", "0", b"before")
    first.kill_link()
    first.let("1.1", "alone")
    wait_for(lambda: (first.root / "attempts" / "1.1" / "spool" / "exit.json").exists())
    second = agents()
    [found] = second.welcome["attempts"]
    assert found["exit"]["exits"][0]["code"] == 9
    assert second.expect("exited")["code"] == 9
    second.follow("1.1")
    assert second.finish("1.1")[1] == b"before\nafter\n"
    second.send("forget", attempt="1.1")
    second.send("forget", attempt="1.1")
    wait_for(lambda: os.listdir(second.root / "attempts") == [])


def test_a_stopped_keeper_is_woken(agents: Agents) -> None:
    first = agents()
    first.start("1.1", [process(["sleep", "1000"])])
    first.expect("running")
    wait_for(lambda: first.state("1.1")["phase"] == "running")
    first.kill_link()
    os.kill(first.state("1.1")["keeper"][0], signal.SIGSTOP)
    second = agents()
    assert second.welcome["attempts"][0]["phase"] == "running"
    second.send("kill", attempt="1.1", grace_s=1)
    second.expect("cleared")


def test_an_expired_lease_ends_everything(agents: Agents) -> None:
    first = agents()
    mark = start_hostile(first)
    before = first.state("1.1")["lease_until"]
    first.send("renew", leases={"1.1": 1})
    wait_for(lambda: first.state("1.1")["lease_until"] < before)
    first.kill_link()
    wait_for((first.root / "attempts" / "1.1" / "spool" / "exit.json").exists, "the end of the lease")
    assert carrying(mark) == []
    assert agents().welcome["attempts"][0]["exit"]["reason"] == "lease expired"


def test_a_renewed_lease_holds(agent: Agent) -> None:
    """Where this machine let the first one go by before the word could come, it is tried with a longer one."""
    for tag, lease_s in (("1.1", 3.0), ("1.2", 45.0)):
        agent.start(tag, [process(["sleep", str(2 * lease_s)])], lease_s=lease_s)
        agent.send("renew", leases={tag: 600, "9.9": 5})
        if agent.expect("cleared", attempt=tag)["reason"] == "":
            return
    raise AssertionError("it ended by its first lease")


def test_an_older_head_is_refused_and_an_older_link_makes_room(agents: Agents) -> None:
    first = agents(epoch=5)
    second = agents(epoch=5)
    assert first.child.wait(LIMIT_S) is not None
    stale = agents(epoch=4, greet=False)
    assert "epoch 4" in stale.expect("refused")["reason"]
    second.send("ping", seq=1)
    second.expect("pong")


def test_a_killed_tag_is_never_started(agents: Agents) -> None:
    first = agents()
    first.send("kill", attempt="4.1", grace_s=1)
    assert first.expect("cleared", attempt="4.1")["exits"] == []
    first.send("forget", attempt="4.1")
    first.kill_link()
    second = agents()
    second.send("start", attempt="4.1", processes=[process(["true"])], lease_s=9, grace_s=1)
    assert "killed" in second.expect("start_failed")["error"]


def test_processes_of_no_attempt_are_swept(agents: Agents) -> None:
    first = agents()
    first.close()
    mark = marker()
    environment = {"PATH": os.environ["PATH"], "BEOWULF_JOB": "lab/7.1", "BEOWULF_ROOT": str(first.root)}
    other = dict(environment, BEOWULF_ROOT="/elsewhere")
    mine, spared = marker(), mark
    stray = subprocess.Popen(["sleep", mine], env=environment)
    foreign = subprocess.Popen(["sleep", spared], env=other)
    try:
        agents()
        assert stray.wait(LIMIT_S) == -signal.SIGKILL
        assert carrying(spared) == [foreign.pid]
    finally:
        foreign.kill()
        foreign.wait()


def write_leftovers(root: Path, boot_id: str, who: list[int]) -> None:
    attempt = root / "attempts" / "1.1"
    (attempt / "spool").mkdir(parents=True)
    (attempt / "intent.json").write_text(json.dumps({"version": 1, "boot_id": boot_id, "ranks": {}}))
    state = {"boot_id": boot_id, "processes": [who], "keeper": who, "watcher": who, "exits": [], "pids": {}}
    (attempt / "state.json").write_text(json.dumps({**state, "phase": "running"}))


@pytest.mark.parametrize("case", ["number used again", "rebooted"])
def test_no_foreign_process_is_signalled(agents: Agents, case: str) -> None:
    first = agents()
    first.close()
    with subprocess.Popen(["sleep", "1000"]) as foreign:
        try:
            found = identity.identity(foreign.pid)
            assert found is not None
            boot = first.welcome["boot_id"] if case == "number used again" else "another boot"
            start = found.start - 1 if case == "number used again" else found.start
            write_leftovers(first.root, boot, [foreign.pid, start])
            second = agents()
            [told] = second.welcome["attempts"]
            assert told["phase"] == "cleared"
            assert told["exit"]["reason"] == ("node was rebooted" if case == "rebooted" else "keeper was killed")
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_recorded_process_is_ended(agents: Agents) -> None:
    first = agents()
    first.close()
    with subprocess.Popen(["sleep", "1000"], env={}) as left:
        found = identity.identity(left.pid)
        assert found is not None
        write_leftovers(first.root, first.welcome["boot_id"], list(found))
        agents()
        assert left.wait(LIMIT_S) == -signal.SIGKILL


def test_send_signal_knows_a_stranger() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        found = identity.identity(child.pid)
        assert found is not None
        assert not identity.send_signal(identity.Identity(child.pid, found.start + 1), signal.SIGKILL)
        assert identity.alive(found)
        assert identity.send_signal(found, signal.SIGKILL)
        child.wait()
        assert not identity.alive(found)


def test_a_thread_that_ends_while_it_is_looked_for_hides_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, none = os.listdir, str(2**22 + 1)  # a number that no thread has
    monkeypatch.setattr(os, "listdir", lambda path: [none, *threads(path)] if "task" in str(path) else threads(path))
    with subprocess.Popen(["sleep", "1000"]) as child:
        found = identity.children(os.getpid())
        child.kill()
    assert child.pid in found


def test_marks_differ_by_attempt_and_root() -> None:
    limits = {sweep.Marks("c", tag, root).limit for tag in ("1.1", "1.2") for root in ("/a", "/b")}
    assert len(limits) == 4 and all(2**62 <= limit < 2**63 for limit in limits)


def test_who_stood_still_itself_does_not_blame_the_head() -> None:
    """Six heartbeats of 5 s, the head heard at 100: looked at in time, when due, and 20 s late, after a pause."""
    assert patience_left_s(110.0, 110.0, 100.0, 30.0) == 20.0
    assert patience_left_s(130.1, 130.0, 100.0, 30.0) <= 0.0
    assert patience_left_s(150.0, 130.0, 100.0, 30.0) == 30.0


def test_silence_ends_the_link_but_not_the_job(agents: Agents) -> None:
    first = agents(greet=False)
    first.expect("welcome")
    first.start("1.1", [process(["sleep", "1000"])])
    first.expect("running")
    first.child.stdin.close()  # type: ignore[union-attr]
    first.child.stdin = None
    assert first.child.wait(LIMIT_S) == 0
    second = agents()
    assert second.welcome["attempts"][0]["phase"] == "running"
    second.send("kill", attempt="1.1", grace_s=60)
    assert second.expect("cleared")["exits"][0]["signal"] == 15

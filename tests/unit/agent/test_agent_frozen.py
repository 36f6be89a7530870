"""A new head adopts an old keeper: the agent as it was when wire version 1 was frozen, and today's."""

import os
from collections.abc import Callable
from pathlib import Path

from agent_driver import Agent, carrying, marker, process

FROZEN = Path(__file__).parents[2] / "frozen" / "agent_v1.packed"
Agents = Callable[..., Agent]


def test_todays_link_adopts_a_keeper_of_the_first_version(agents: Agents) -> None:
    old = agents(packed=FROZEN.read_bytes())
    mark = marker()
    count = f"i=0; while [ ! -e enough ]; do echo line $i; i=$((i+1)); sleep 0.005; done; echo end; exec sleep {mark}"
    old.start("1.1", [process(["/bin/sh", "-c", count])])
    old.log_until("1.1", "0", b"line 20\n")
    kept = old.logs[("1.1", "0")]
    old.kill_link()
    new = agents()
    assert new.welcome["attempts"][0]["phase"] == "running"
    new.logs[("1.1", "0")] = kept
    new.follow("1.1", **{"0": len(kept)})
    new.let("1.1", "enough")
    *lines, end = new.log_until("1.1", "0", b"end\n").splitlines()
    assert lines == [b"line %d" % number for number in range(len(lines))] and len(lines) > 20 and end == b"end"
    new.send("renew", leases={"1.1": 600})
    new.send("kill", attempt="1.1", grace_s=60)
    assert new.expect("cleared")["exits"][0]["signal"] == 15
    assert carrying(mark) == []
    new.send("forget", attempt="1.1")


def test_todays_link_reads_an_end_the_first_version_wrote(agents: Agents) -> None:
    old = agents(packed=FROZEN.read_bytes())
    old.run("1.1", ["/bin/sh", "-c", "echo done; exit 3"])
    old.kill_link()
    new = agents()
    [found] = new.welcome["attempts"]
    assert (found["phase"], found["exit"]["exits"][0]["code"]) == ("cleared", 3)
    new.follow("1.1")
    assert new.finish("1.1")[1] == b"done\n"


def test_todays_link_clears_up_after_a_dead_keeper_of_the_first_version(agents: Agents) -> None:
    old = agents(packed=FROZEN.read_bytes())
    mark = marker()
    old.start("1.1", [process(["/bin/sh", "-c", f"env -i setsid sleep {mark} & echo up; sleep {mark}"])])
    old.log_until("1.1", "0", b"up")
    state = old.state("1.1")
    for pid in (old.child.pid, state["watcher"][0], state["keeper"][0]):
        os.kill(pid, 9)
    old.close()
    new = agents()
    assert new.welcome["attempts"][0]["exit"]["reason"] == "keeper was killed"
    assert carrying(mark) == []

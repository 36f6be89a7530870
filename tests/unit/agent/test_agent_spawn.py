"""The remote-shell shim between two agents with a tiny relay for a head, and the per-rank wrapper."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_driver import UNTIL, Agent, carrying, marker, process, wait_for

from beowulf.agent import rsh

SH = ["/bin/sh", "-c"]
ROOT = Path(__file__).parents[3]


def program(agent: Agent, name: str) -> str:
    return str(agent.root / "attempts" / "1.1" / "bin" / name)


def arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def is_shim(command: bytes) -> bool:
    return b"beowulf-rsh" in command and b"sleep" not in command


def family(pid: int) -> list[int]:
    """The process and everything below it."""
    try:
        below = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it ended meanwhile
        below = []
    return [pid, *(one for child in below for one in family(child))]


class Pair:
    """Two nodes of one gang; `relay` does what the head does with spawn frames."""

    def __init__(self, asking: Agent, peer: Agent, *, hold: bool = False) -> None:
        self.asking = asking
        self.peer = peer
        peer.start("1.1", [], spawn=True, hold=hold, env={"WHERE": "peer"})
        peer.expect("ready" if hold else "running")

    def ask(self, argv: list[str]) -> None:
        self.asking.start(
            "1.1", [process([program(self.asking, "beowulf-rsh"), *argv])], spawn=True, env={"WHERE": "asking"}
        )

    def relay_spawn(self) -> str:
        asked = self.asking.expect("spawn")
        assert asked["host"] == "n2"
        self.asking.send("spawned", id=asked["id"], attempt="1.1", ok=True, error="")
        self.peer.send("spawn_here", id="n1/" + asked["id"], attempt="1.1", argv=asked["argv"], env={})
        return str(asked["id"])

    def relay_end(self) -> None:
        while True:
            for kind in ("spawn_output", "spawn_exit"):
                if any(header["type"] == kind for header, _ in self.peer.frames):
                    header, payload = self.peer.expect_frame(kind)
                    answer = {**header, "id": header["id"].partition("/")[2]}
                    answer.pop("type")
                    self.asking.send(kind, payload, **answer)
                    if kind == "spawn_exit":
                        return
            assert self.peer.read(0.5)


@pytest.fixture
def pair(agents: Callable[..., Agent]) -> Iterator[Pair]:
    yield Pair(agents(node="n1"), agents(node="n2", home="other"))


def test_a_daemon_on_a_peer_through_the_shim(pair: Pair) -> None:
    script = "/only/here/sh -c 'echo \"at $WHERE;\" in $(basename $(pwd)) for $BEOWULF_JOB; exit 12'"
    pair.ask(["-o", "BatchMode=yes", "-x", "me@n2", "PATH=/only/here:$PATH ; export PATH ;", script])
    pair.relay_spawn()
    pair.relay_end()
    cleared, log = pair.asking.finish("1.1")
    assert log == b"at peer; in work for lab/1.1\n"
    assert cleared["exits"][0]["code"] == 12
    pair.peer.follow("1.1")
    pair.peer.log_until("1.1", "daemon-0", b"at peer;")
    pair.peer.send("kill", attempt="1.1", grace_s=1)
    assert pair.peer.expect("cleared")["reason"] == "killed"


def test_a_killed_shim_takes_its_daemon_along(pair: Pair) -> None:
    mark = marker()
    pair.ask(["n2", "sleep", mark])
    number = pair.relay_spawn()
    # Both the shim and the daemon carry it; the keeper wrote the daemon down.
    wait_for(lambda: len(carrying(mark)) >= 2)
    shim = pair.asking.expect("running")["pids"]["0"]
    os.kill(shim, signal.SIGKILL)
    gone = pair.asking.expect("spawn_kill")
    assert gone["id"] == number
    pair.peer.send("spawn_kill", attempt="1.1", id="n1/" + number)
    pair.peer.expect("spawn_exit")
    wait_for(lambda: carrying(mark) == [], "the daemon's child to follow it")


def test_a_refusal_reaches_the_launcher(pair: Pair) -> None:
    pair.ask(["n9", "true"])
    asked = pair.asking.expect("spawn")
    pair.asking.send("spawned", id=asked["id"], attempt="1.1", ok=False, error="n9 is not a host of attempt 1.1")
    cleared, log = pair.asking.finish("1.1")
    assert log == b"beowulf-rsh: n9: n9 is not a host of attempt 1.1\n"
    assert cleared["exits"][0]["code"] == 255


def test_a_wish_that_a_dying_head_took_along_is_told_to_the_next(pair: Pair, agents: Callable[..., Agent]) -> None:
    pair.ask(["n2", "sh", "-c", "'exit 12'"])
    lost = pair.asking.expect("spawn")
    pair.asking.kill_link()
    pair.asking = agents(node="n1", epoch=2)
    pair.asking.follow("1.1")
    assert pair.relay_spawn() == lost["id"]
    pair.relay_end()
    assert pair.asking.finish("1.1")[0]["exits"][0]["code"] == 12


def test_a_wish_uttered_while_there_is_no_head_waits_for_one(pair: Pair, agents: Callable[..., Agent]) -> None:
    late = f'{UNTIL.format("alone")}; exec "{program(pair.asking, "beowulf-rsh")}" n2 sh -c "\'exit 12\'"'
    pair.asking.start("1.1", [process([*SH, late])], spawn=True)
    pair.asking.expect("running")
    pair.asking.kill_link()
    pair.asking.let("1.1", "alone")
    state = pair.asking.state("1.1")
    wait_for(lambda: any(is_shim(arguments(pid)) for pid in family(state["keeper"][0])), "the shim")
    pair.asking = agents(node="n1", epoch=2)
    pair.asking.follow("1.1")
    pair.relay_spawn()
    pair.relay_end()
    assert pair.asking.finish("1.1")[0]["exits"][0]["code"] == 12


def test_an_end_that_a_dying_head_took_along_is_told_again(pair: Pair) -> None:
    pair.ask(["n2", "sh", "-c", "'exit 12'"])
    pair.relay_spawn()
    pair.peer.expect("spawn_exit")  # and lost
    pair.relay_spawn()  # the keeper asks as long as it was not told how it ended
    pair.relay_end()
    assert pair.asking.finish("1.1")[0]["exits"][0]["code"] == 12


def test_a_peer_that_has_not_heard_go_yet_does_not_refuse(agents: Callable[..., Agent]) -> None:
    pair = Pair(agents(node="n1"), agents(node="n2", home="other"), hold=True)
    pair.ask(["n2", "sh", "-c", "'exit 12'"])
    pair.relay_spawn()
    pair.peer.send("go", attempt="1.1")
    pair.peer.expect("running")
    pair.relay_spawn()
    pair.relay_end()
    assert pair.asking.finish("1.1")[0]["exits"][0]["code"] == 12


def test_a_job_without_leave_cannot_spawn(agent: Agent) -> None:
    cleared, log = agent.run("1.1", [program(agent, "beowulf-rsh"), "n2", "true"])
    assert b"may not start daemons" in log and cleared["exits"][0]["code"] == 255
    agent.start("1.2", [process(["sleep", "1000"])])
    agent.expect("running", attempt="1.2")
    agent.send("spawn_here", attempt="1.2", id="n1/1.1#1", argv=["true"], env={})
    assert agent.expect("spawn_exit")["code"] == 255


def test_the_shim_reads_options_as_ssh_does() -> None:
    assert rsh.split(["-x", "-p", "22", "-oA=b", "u@n2", "prted", "-x"]) == ("n2", ["prted", "-x"])
    line = ['PATH=/a/bin:$PATH ; export PATH ; "/a b";', "/a/bin/prted", "--x", '"a;b"']
    assert rsh.daemon_line(line) == 'prted --x "a;b"'
    assert rsh.daemon_line(["orted", "-mca", "x", "y"]) == "orted -mca x y"


def run_ranks(agent: Agent, script: str, ranks: dict[str, object]) -> None:
    """Two wrappers under a shell that plays mpirun."""
    launcher = f'for r in 3 4; do OMPI_COMM_WORLD_RANK=$r "$0" -- /bin/sh -c "{script}" & done; wait'
    files = {"ranks.json": json.dumps(ranks)}
    env = {"BEOWULF_RANKS": str(agent.root / "attempts" / "1.1" / "ranks.json")}
    agent.start(
        "1.1", [process([*SH, launcher, program(agent, "beowulf-rank")], "mpirun", rank=-1)], files=files, env=env
    )


def test_ranks_under_another_launcher_are_told_apart(agent: Agent) -> None:
    cpu = sorted(os.sched_getaffinity(0))[0]
    settings = {
        str(rank): {"env": {"RANK": str(rank), "WHO": f"rank {rank}"}, "cpus": [cpu], "cwd": "."} for rank in (3, 4)
    }
    script = "echo \\$WHO; pwd; printf '{\\\"step\\\": %s}\\\\n' \\$RANK >> \\$BEOWULF_REPORT; exit \\$RANK"
    run_ranks(agent, script, settings)
    cleared = agent.expect("cleared")
    codes = {told["process"]: told["code"] for told in cleared["exits"]}
    assert codes == {"mpirun": 0, "3": 3, "4": 4}
    work = str(agent.root / "attempts" / "1.1" / "work").encode()
    assert agent.log_until("1.1", "3", b"work\n") == b"rank 3\n" + work + b"\n"
    assert agent.log_until("1.1", "4", b"work\n") == b"rank 4\n" + work + b"\n"
    found = [agent.expect("report") for _ in range(2)]
    assert {told["rank"]: told["lines"] for told in found} == {3: [{"step": 3}], 4: [{"step": 4}]}


def test_a_rank_killed_by_a_signal_is_told_so(agent: Agent) -> None:
    run_ranks(agent, "kill -SEGV \\$\\$", {})
    exits = {told["process"]: told["signal"] for told in agent.expect("cleared")["exits"]}
    assert exits == {"mpirun": None, "3": 11, "4": 11}


def test_signal_reaches_the_ranks_behind_the_wrapper(agent: Agent) -> None:
    run_ranks(agent, "trap 'exit 42' USR1; echo up; while :; do sleep 0.05; done", {})
    for rank in ("3", "4"):
        agent.log_until("1.1", rank, b"up")
    agent.send("signal", attempt="1.1", signal=int(signal.SIGUSR1))
    exits = {told["process"]: told["code"] for told in agent.expect("cleared")["exits"]}
    assert exits == {"mpirun": 0, "3": 42, "4": 42}


def test_signal_spares_the_shell_of_a_rank_behind_the_wrapper(agent: Agent) -> None:
    """What listens is its child: that is how a job's ``run: python train.py; …`` looks under mpirun."""
    listens = "trap 'echo caught; exit 7' USR1; echo up; while :; do sleep 0.05; done"
    run_ranks(agent, f'/bin/sh -c \\"{listens}\\"; exit \\$((\\$? + 1))', {})
    for rank in ("3", "4"):
        agent.log_until("1.1", rank, b"up")
    agent.send("signal", attempt="1.1", signal=int(signal.SIGUSR1))
    exits = {told["process"]: told["code"] for told in agent.expect("cleared")["exits"]}
    assert exits == {"mpirun": 0, "3": 8, "4": 8}


def test_a_signal_just_after_the_ranks_end_leaves_its_code_alone(tmp_path: Path) -> None:
    """As mpirun sends them when another rank has failed."""
    late = (
        "import os, signal\nfrom beowulf.agent import rank\nwait = os.waitpid\n"
        "def reaped(*which):\n    found = wait(*which)\n    os.kill(os.getpid(), signal.SIGTERM)\n    return found\n"
        "os.waitpid = reaped\nrank.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", late, "--", "sh", "-c", "exit 5"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_wrapper_takes_its_rank_along(agent: Agent) -> None:
    mark = marker()
    run_ranks(agent, f"echo \\$PPID; exec sleep {mark}", {})
    wrapper = int(agent.log_until("1.1", "3", b"\n"))
    agent.log_until("1.1", "4", b"\n")
    os.kill(wrapper, signal.SIGKILL)
    assert "wrapper" in agent.expect("exited", process="3")["error"]
    agent.send("kill", attempt="1.1", grace_s=5)
    agent.expect("cleared")
    assert carrying(mark) == []

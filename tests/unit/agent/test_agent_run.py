"""A job on one node, from hello to forget, against the real agent over a pipe."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_driver import Agent, carrying, marker, process, wait_for

SH = ["/bin/sh", "-c"]


def test_a_job_runs_and_its_log_is_whole(agent: Agent) -> None:
    cleared, log = agent.run("1.1", [*SH, "echo out; echo err >&2; printf '\\377\\000'"])
    assert log == b"out\nerr\n\xff\x00"
    assert cleared["exits"] == [{"process": "0", "code": 0, "signal": None, "error": ""}]
    assert (cleared["killed"], cleared["unkillable"], cleared["reason"]) == (0, [], "")
    assert agent.expect("running", attempt="1.1")["pids"].keys() == {"0"}
    assert agent.expect("exited", attempt="1.1")["code"] == 0
    agent.send("forget", attempt="1.1")
    wait_for(lambda: not (agent.root / "attempts" / "1.1").exists())


def test_codes_and_signals_are_told(agent: Agent) -> None:
    agent.start("1.1", [process([*SH, "exit 7"], "a"), process([*SH, "kill -SEGV $$"], "b")])
    assert agent.expect("exited", process="a")["code"] == 7
    told = agent.expect("exited", process="b")
    assert (told["code"], told["signal"]) == (None, 11)


def test_what_cannot_be_executed_says_why(agent: Agent) -> None:
    agent.start("1.1", [process(["/no/such/program"])])
    told = agent.expect("exited")
    assert told["code"] == 127
    assert told["error"] == "/no/such/program: No such file or directory"
    agent.start("1.2", [process(["true"], cwd="absent")])
    assert "/work/absent: No such file" in agent.expect("exited", attempt="1.2")["error"]
    agent.start("1.3", [process(["no-such-program"])])
    assert agent.expect("exited", attempt="1.3")["error"] == "no-such-program: no such program on PATH"


def test_arguments_arrive_byte_for_byte(agent: Agent) -> None:
    words = ["", " ", "a b", "'\"$(id)`\\", "-n", "é\n\t", "\udcff\udc80", "{work}x", "x{work}"]
    show = "import os,sys; sys.stdout.buffer.write(b'\\0'.join(os.fsencode(w) for w in sys.argv[1:]))"
    import sys

    _, log = agent.run("1.1", [sys.executable, "-c", show, *words])
    want = [word.encode("utf-8", "surrogateescape") for word in words]
    assert log.split(b"\0") == want


def test_environment_folder_and_threads(agent: Agent) -> None:
    cpu = sorted(os.sched_getaffinity(0))[-1]
    script = "pwd; env | sort; grep Cpus_allowed_list /proc/self/status"
    agent.start(
        "3.1",
        [process([*SH, script], env={"MINE": "1", "PLACE": "{root}/x"}, cwd="sub", cpus=[cpu])],
        env={"MINE": "0", "OURS": "2", "BEOWULF_JOB": "stolen"},
        files={"work/sub/hello": "there\n", "hosts": "n1\n"},
        peers=["127.0.0.3"],
    )
    _, log = agent.finish("3.1")
    attempt = agent.root / "attempts" / "3.1"
    lines = log.decode().splitlines()
    assert lines[0] == f"{attempt}/work/sub"
    for line in (
        "MINE=1",
        "OURS=2",
        "PLACE={root}/x",
        "BEOWULF_JOB=lab/3.1",
        f"BEOWULF_ROOT={agent.root}",
        f"BEOWULF_WORK={attempt}/work",
        f"BEOWULF_REPORT={attempt}/spool/0.report",
        "NCCL_SOCKET_IFNAME=lo",
        "GLOO_SOCKET_IFNAME=lo",
        f"Cpus_allowed_list:\t{cpu}",
    ):
        assert line in lines
    assert (attempt / "hosts").read_text() == "n1\n"


def test_a_second_start_only_says_where_it_stands(agent: Agent) -> None:
    agent.start("1.1", [process([*SH, "echo once; exec sleep 1000"])])
    first = agent.expect("running")
    agent.start("1.1", [process([*SH, "echo twice"])])
    assert agent.expect("running") == first
    agent.send("kill", attempt="1.1", grace_s=0.1)
    agent.expect("cleared")
    agent.send("start", attempt="1.1", processes=[process([*SH, "echo twice"])])
    assert agent.expect("cleared")["exits"]
    assert b"twice" not in agent.logs.get(("1.1", "0"), b"")


def test_setup_comes_first_and_its_failure_is_the_end(agent: Agent) -> None:
    agent.start("1.1", [process([*SH, "cat made"])], setup=process([*SH, "echo setting up; echo yes > made"], "setup"))
    _, log = agent.finish("1.1")
    assert log == b"yes\n"
    agent.log_until("1.1", "setup", b"setting up\n")
    agent.start("1.2", [process([*SH, "echo no"])], setup=process([*SH, "echo broken; exit 3"], "setup"))
    cleared, log = agent.finish("1.2", "setup")
    assert [(told["process"], told["code"]) for told in cleared["exits"]] == [("setup", 3)]
    assert log == b"broken\n" and "0" not in cleared["spool"]
    assert "setup" in cleared["reason"]


def test_hold_and_go(agent: Agent) -> None:
    agent.start("1.1", [process([*SH, "echo gone"])], hold=True)
    agent.expect("ready")
    agent.read(0.2)
    assert not agent.logs
    agent.send("go", attempt="1.1")
    assert agent.finish("1.1")[1] == b"gone\n"


def test_the_port_is_kept_until_ranks_may_start_and_takes_no_early_peer(agent: Agent) -> None:
    """A peer's rank that ran before rank 0 must be refused, and try again, not be let in and cut off."""
    agent.send("prepare", attempt="1.1", trees=[], env="", port=True)
    port = agent.expect("prepared")["port"]
    agent.send("reach", attempt="1.1", targets=[{"node": "n1", "host": "127.0.0.1", "port": port}], timeout_s=5)
    assert agent.expect("reached")["failed"] == []
    bind = f"import socket; s=socket.socket(); s.setsockopt(1, 2, 1); s.bind(('', {port})); s.listen(); print('bound')"
    import sys

    agent.start("1.1", [process([sys.executable, "-c", bind])], hold=True)
    agent.expect("ready")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    agent.send("go", attempt="1.1")
    assert agent.finish("1.1")[1] == b"bound\n"


def test_reach_names_what_it_cannot_reach(agent: Agent) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        agent.send("reach", attempt="1.1", targets=[{"node": "n2", "host": "127.0.0.1", "port": port}], timeout_s=5)
        [failed] = agent.expect("reached")["failed"]
    assert (failed["node"], failed["error"]) == ("n2", "Connection refused")


def test_fail_fast_ends_the_others(agent: Agent) -> None:
    agent.start("1.1", [process(["sleep", "1000"], "a"), process([*SH, "exit 3"], "b")], fail_fast=True)
    cleared = agent.expect("cleared")
    assert {told["process"]: (told["code"], told["signal"]) for told in cleared["exits"]} == {
        "a": (None, 15),
        "b": (3, None),
    }


def test_signal_goes_to_the_ranks(agent: Agent) -> None:
    agent.start("1.1", [process([*SH, "trap 'echo caught; exit 0' USR1; echo up; while :; do sleep 0.05; done"])])
    agent.log_until("1.1", "0", b"up")
    agent.send("signal", attempt="1.1", signal=10)
    assert b"caught" in agent.finish("1.1")[1]


def test_signal_spares_whoever_does_not_take_it_up(agent: Agent) -> None:
    """A rank's shell would be ended by it, and the program that listens is its child."""
    listens = "import os, signal, time\nsignal.signal(10, lambda *_: os.write(1, b'caught'))\nprint('up', flush=True)\n"
    script = f'python3 -c "{listens}time.sleep(0.5)\ntime.sleep(1000)" & sleep 1000 & wait $!'
    agent.start("1.1", [process([*SH, script])])
    agent.log_until("1.1", "0", b"up")
    agent.send("signal", attempt="1.1", signal=10)
    agent.log_until("1.1", "0", b"caught")
    agent.send("signal", attempt="1.1", signal=12)
    agent.send("kill", attempt="1.1", grace_s=60)
    assert agent.expect("cleared")["exits"][0]["signal"] == 15


def test_the_log_has_a_cap_and_the_job_goes_on(agent: Agent) -> None:
    cleared, log = agent.run("1.1", [*SH, "yes | head -c 300000; exit 4"], log_cap_bytes=10000)
    assert cleared["exits"][0]["code"] == 4
    assert log.startswith(b"y\n" * 5000) and b"cap of 10000 bytes" in log and len(log) < 10200


def test_credit_holds_the_log_back(agents: Callable[..., Agent]) -> None:
    agent = agents(credit=1000)
    agent.acking = False
    agent.start("1.1", [process([*SH, "yes | head -c 50000"])])
    agent.expect("cleared")
    wait_for(lambda: agent.read(0.1) and len(agent.logs.get(("1.1", "0"), b"")) >= 1000, "what the credit allows")
    agent.read(0.3)
    assert len(agent.logs[("1.1", "0")]) == 1000
    agent.acking = True
    agent.send("ack", attempt="1.1", stream="0", offset=1000)
    wait_for(lambda: agent.read(0.1) and len(agent.logs[("1.1", "0")]) == 50000)


def test_reports_are_parsed_and_bad_lines_dropped(agent: Agent) -> None:
    script = 'echo \'{"step": 1, "loss": NaN}\' >> $BEOWULF_REPORT; echo nonsense >> $BEOWULF_REPORT;'
    script += 'echo [1] >> $BEOWULF_REPORT; printf \'{"step": 2}\\n{"part\' >> $BEOWULF_REPORT'
    agent.start("1.1", [process([*SH, script], "0", rank=5)])
    lines, offset = [], 0
    while len(lines) < 2:
        report = agent.expect("report")
        assert report["rank"] == 5
        lines += report["lines"]
        offset = report["offset"]
    assert lines == [{"step": 1, "loss": None}, {"step": 2}]
    assert offset == len('{"step": 1, "loss": NaN}\nnonsense\n[1]\n{"step": 2}\n')


def test_what_all_processes_run_is_told_once(agent: Agent) -> None:
    ranks = [{key: value for key, value in process([], str(rank)).items() if key != "argv"} for rank in (0, 1)]
    agent.start("1.1", ranks, argv=[*SH, "echo of $BEOWULF_REPORT"])
    agent.expect("cleared")
    wait_for(lambda: agent.read(0.1) and len(agent.logs) == 2 and all(b"\n" in log for log in agent.logs.values()))
    assert [log.split(b"/")[-1] for _, log in sorted(agent.logs.items())] == [b"0.report\n", b"1.report\n"]


def test_numbers_that_no_head_could_read_end_no_link(agent: Agent) -> None:
    lines = ['{"step": 1, "loss": 1e999, "big": ' + "9" * 5000 + "}", "{}"]
    script = "".join(f"echo '{line}' >> $BEOWULF_REPORT;" for line in lines)
    script += 'd=$(dirname $BEOWULF_REPORT); for i in $(seq 60000); do echo "{}"; done > $d/1.report; echo done'
    agent.start("1.1", [process([*SH, script], "0", rank=0)])
    read: dict[str, int] = {}
    found = agent.expect("report", process="0")
    assert found["lines"][0] == {"step": 1, "loss": None, "big": None}
    read[found["process"]] = len(found["lines"])
    while sum(read.values()) < 60_002:
        found = agent.expect("report")
        read[found["process"]] = read.get(found["process"], 0) + len(found["lines"])
    assert read == {"0": 2, "1": 60_000}


def test_trees_are_copied_into_place(agent: Agent) -> None:
    tree = agent.root / "trees" / "d1"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "tool").write_text("#!/bin/sh\necho tool\n")
    (tree / "bin" / "tool").chmod(0o555)
    (tree / "link").symlink_to("bin/tool")
    (tree / "héllo").write_bytes(b"x")
    trees = [{"digest": "d1", "target": "."}, {"digest": "d1", "target": "~/data/set"}]
    agent.send("prepare", attempt="1.1", trees=[{"digest": "d2", "target": "."}], env="e1", port=False)
    lacking = agent.expect("missing")
    assert (lacking["trees"], lacking["env"]) == (["d2"], True)
    agent.send("prepare", attempt="1.1", trees=trees, env="", port=False)
    agent.expect("prepared")
    work = agent.root / "attempts" / "1.1" / "work"
    assert (work / "héllo").read_bytes() == b"x"
    assert os.readlink(work / "link") == "bin/tool"
    assert os.access(work / "bin" / "tool", os.X_OK | os.W_OK)
    assert (work / "bin" / "tool").stat().st_ino != (tree / "bin" / "tool").stat().st_ino
    assert (agent.home / "data" / "set" / "bin" / "tool").exists()


@pytest.mark.parametrize("target", ["../x", "/etc", "a/../../b", "~/../x", "~root/x/../..", "x\0y"])
def test_targets_outside_are_refused(agent: Agent, target: str) -> None:
    (agent.root / "trees" / "d1").mkdir()
    agent.send("prepare", attempt="1.1", trees=[{"digest": "d1", "target": target}], env="", port=False)
    assert "neither inside" in agent.expect("missing")["error"]


@pytest.mark.parametrize("tag", ["../1.1", "", "a/b", "-x", "x\0y", None, 5])
def test_odd_tags_do_nothing(agent: Agent, tag: object) -> None:
    for kind in ("prepare", "start", "kill", "forget", "follow", "go"):
        agent.send(kind, attempt=tag, processes=[], grace_s=1, streams={}, credit=1)
    agent.send("ping", seq=3)
    assert agent.expect("pong")["seq"] == 3
    assert os.listdir(agent.root / "attempts") == []


def test_files_outside_the_attempt_are_refused(agent: Agent) -> None:
    agent.start("1.1", [process(["true"])], files={"../../x": "y"})
    assert "not inside" in agent.expect("start_failed")["error"]


def test_questions_are_answered_side_by_side(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "home" / "note").write_text("read me")
    fifo = tmp_path / "hung"
    os.mkfifo(fifo)
    agent.send(
        "ask",
        id="q1",
        questions=[
            {"name": "echo", "argv": ["sh", "-c", "echo a; echo b >&2; exit 5"], "timeout_s": 100},
            {"name": "slow", "argv": ["sleep", "1000"], "timeout_s": 0.3},
            {"name": "file", "path": "~/note", "timeout_s": 100},
            {"name": "hung", "path": str(fifo), "timeout_s": 0.3},
            {"name": "none", "argv": ["no-such-tool"], "timeout_s": 100},
            {"name": "left", "argv": ["sh", "-c", "sleep 5 & echo done"], "timeout_s": 100},
        ],
    )
    frame = agent.expect("answers", id="q1")
    answers = frame["answers"]
    assert answers["echo"] == {"code": 5, "out": "a\n", "err": "b\n", "timed_out": False}
    assert answers["slow"]["timed_out"] and answers["hung"]["timed_out"]
    assert answers["file"]["out"] == "read me"
    assert answers["none"]["code"] == 127
    assert answers["left"]["out"] == "done\n"
    assert frame["time"] > 1e9


def test_questions_go_with_the_link_that_asked(agent: Agent) -> None:
    mark = marker()
    agent.send("ask", id="q1", questions=[{"name": "hung", "argv": [*SH, f"sleep {mark} & wait"], "timeout_s": 600}])
    wait_for(lambda: len(carrying(mark)) == 2)
    agent.kill_link()
    wait_for(lambda: not carrying(mark))


def test_the_agent_leaves_a_private_folder(agent: Agent) -> None:
    agent.run("1.1", ["true"])
    assert (agent.root.stat().st_mode & 0o777) == 0o700
    assert (agent.root / "attempts" / "1.1" / "spool" / "exit.json").stat().st_mode & 0o077 == 0
    assert json.loads((agent.root / "attempts" / "1.1" / "spool" / "exit.json").read_text())["reason"] == ""

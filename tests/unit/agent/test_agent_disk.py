"""F23: the node's disk is full. Needs root for a tmpfs of its own."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_driver import Agent, process, wait_for

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs")]


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield tmp_path
    wait_for(lambda: subprocess.run(["umount", str(tmp_path)], capture_output=True).returncode == 0)


def test_a_full_disk_fails_the_job_and_spares_the_keeper(small_home: Path) -> None:
    agent = Agent(small_home)
    try:
        agent.start("1.1", [process(["sh", "-c", "yes"], "0")], grace_s=1.0)
        cleared = agent.expect("cleared")
        assert "No space left" in cleared["reason"]
        wait_for(lambda: (agent.root / "attempts" / "1.1" / "spool" / "exit.json").exists())
        agent.send("forget", attempt="1.1")
        wait_for(lambda: os.listdir(agent.root / "trash") == [] and os.listdir(agent.root / "attempts") == [])
        assert agent.run("1.2", ["echo", "again"])[1] == b"again\n"
    finally:
        agent.close()


def test_a_disk_full_before_the_start_is_told(small_home: Path) -> None:
    agent = Agent(small_home)
    try:
        agent.send("prepare", attempt="1.1", trees=[], env="", port=False)
        agent.expect("prepared")
        with pytest.raises(OSError, match="No space"), open(small_home / "fill", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        order = {"lease_s": 600, "grace_s": 1, "processes": [process(["true"])]}
        agent.send("start", attempt="1.1", **order)
        assert "No space" in agent.expect("start_failed")["error"]
    finally:
        agent.close()

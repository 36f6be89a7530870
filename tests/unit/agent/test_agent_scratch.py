"""Folders outside the attempt's own: there while it runs, gone when it is forgotten, however it ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_driver import Agent, process, wait_for

from beowulf.agent import scratch

SH = ["/bin/sh", "-c"]


@pytest.mark.parametrize("how", ["killed", "keeper killed", "ended"])
def test_what_a_killed_program_left_goes_with_the_attempt(
    agents: Callable[..., Agent], tmp_path: Path, how: str
) -> None:
    agent = agents()
    places = {"TMPDIR": str(tmp_path), "SHARED": str(tmp_path), "NOWHERE": "/proc/none", "MINE": str(tmp_path)}
    rest = "exit 0" if how == "ended" else "sleep 1000"
    script = f'echo kept >"$TMPDIR/socket"; echo "$TMPDIR $SHARED $NOWHERE $MINE"; {rest}'
    agent.start("1.1", [process([*SH, script])], scratch=places, env={"MINE": "own"})
    line = agent.log_until("1.1", "0", b"own\n").decode().split()
    made = Path(line[0])
    assert line == [str(made), str(made), "own"] and made.parent == tmp_path and made.name.startswith("bw-")
    assert (made / "socket").read_text() == "kept\n" and made.stat().st_mode & 0o777 == 0o700
    if how == "killed":
        agent.send("kill", attempt="1.1", grace_s=0.0)
    elif how == "keeper killed":
        agent.kill_keeper("1.1")
    agent.expect("cleared", attempt="1.1")
    assert made.exists()
    agent.send("forget", attempt="1.1")
    wait_for(lambda: not made.exists(), "the folder to go")


def test_another_users_folder_is_left_alone(tmp_path: Path) -> None:
    made = scratch.make({"TMPDIR": str(tmp_path)}, "lab", "1.1")["TMPDIR"]
    assert scratch.make({"TMPDIR": str(tmp_path)}, "lab", "1.1") == {"TMPDIR": made}
    assert len(made) - len(str(tmp_path)) < 20  # room for the names of sockets
    os.rmdir(made)
    os.symlink("/etc", made)
    assert scratch.make({"TMPDIR": str(tmp_path)}, "lab", "1.1") == {}
    scratch.remove([str(tmp_path / "work"), made])
    assert Path("/etc/passwd").exists() and os.path.islink(made)

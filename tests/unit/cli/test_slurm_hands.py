"""What Slurm's hands type, and SSH's own configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beowulf.cli.slurm import VERBS, translated
from beowulf.cli.ssh_config import block
from beowulf.model.errors import Refused


def test_programs_and_their_options() -> None:
    assert translated("squeue", ["-u", "ann", "--states=PENDING"]) == ["ps", "--user", "ann", "--state=PENDING"]
    assert translated("sbatch", ["-N", "2", "train.sh"]) == ["submit", "--num-nodes", "2", "train.sh"]
    assert translated("scancel", ["17"]) == ["cancel", "17"]
    assert translated("sinfo", []) == ["nodes", "list"]


def test_links_are_the_programs(tmp_path: Path) -> None:
    program = tmp_path / "beowulf-slurm"
    program.write_text(f"#!{sys.executable}\nfrom beowulf.cli.slurm import main\nmain()\n")
    program.chmod(0o755)
    links = tmp_path / "bin"

    def ask(*argv: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "BEOWULF_HOME": str(tmp_path / "none"), "PYTHONPATH": str(Path(__file__).parents[3])}
        return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, check=False)

    refused = ask(str(program), "install", str(links))
    assert refused.returncode == 2 and "is no folder" in refused.stderr
    links.mkdir()
    assert ask(str(program), "install", str(links)).stdout.split() == [str(links / name) for name in VERBS]
    assert ask(str(program), "install", str(links)).returncode == 0  # again: as it is
    assert ask(str(links / "squeue")).returncode == 5  # no head there
    assert "Usage: beowulf submit" in ask(str(links / "sbatch"), "--help").stdout
    (links / "sacct").unlink()
    (links / "sacct").write_text("mine")
    taken = ask(str(program), "install", str(links))
    assert taken.returncode == 2 and "not ours" in taken.stderr and (links / "sacct").read_text() == "mine"


def test_a_node_as_a_host_block() -> None:
    argv = ["ssh", "-o", "UserKnownHostsFile=/a b/known", "-o", "StrictHostKeyChecking=yes", "-J", "me@gate", "-p"]
    assert block("n1", [*argv, "2222", "ann@10.0.0.7"]).splitlines() == [
        "Host bw-n1",
        "    HostName 10.0.0.7",
        "    User ann",
        '    UserKnownHostsFile "/a b/known"',
        "    StrictHostKeyChecking yes",
        "    ProxyJump me@gate",
        "    Port 2222",
    ]
    with pytest.raises(Refused, match="this machine itself"):
        block("local", ["sh", "-c", "x"])

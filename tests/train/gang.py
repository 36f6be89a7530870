"""Real ranks on this machine: processes that run the scenarios of ``scenarios.py`` together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ports import hold_port

CHECKOUT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).with_name("scenarios.py")
LIMIT_S = 280.0


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a rank: one thread, no GPU, our package, nothing of a head or launcher around this test."""
    foreign = ("RANK", "WORLD", "LOCAL_", "MASTER", "BEOWULF", "OMPI", "PMI", "PRTE", "SLURM", "TORCHELASTIC")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ours = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT), "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    return {**kept, **ours, **more}


def run_gang(
    ranks: int, script: Path, *arguments: str, own: Sequence[Mapping[str, str]] = (), **environment: str
) -> str:
    """What the ranks printed. Fails if one of them does; none is left behind. ``own``: more variables of each rank."""
    held = hold_port()
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(held.getsockname()[1]), "WORLD_SIZE": str(ranks)}
    shared = surroundings(**{**meeting, **environment})
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), **(own[rank] if own else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        outputs = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        held.close()
    codes = [process.returncode for process in processes]
    assert not any(codes), f"exit codes {codes}\n" + "\n".join(outputs)
    return "".join(outputs)


def run_command(command: Sequence[str], cwd: Path, **environment: str) -> str:
    """What ``command`` printed; fails if it does."""
    done = subprocess.run(
        command, cwd=cwd, env=surroundings(**environment), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

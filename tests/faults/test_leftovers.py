"""F18 and F33: whatever a job does to get away, and whichever of ours is killed first, nothing of it is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aftermath
import pytest
from real_head import PATIENCE_S, RealHead

from beowulf.lab import Lab
from beowulf.model.errors import Refused
from beowulf.model.job import JobSpec, Retry

DEAF = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(9999)"
TWICE = (
    "import os\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    f"os.execve('/usr/bin/python3', ['python3', '-c', {DEAF!r}, 'stray-forked-twice'], {{}})"
)
STOPPED = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
JOB = f"""
python3 -c "{DEAF}" stray-plain &
setsid nohup python3 -c "{DEAF}" stray-session > /dev/null &
env -i setsid /usr/bin/python3 -c "{DEAF}" stray-bare > /dev/null 2>&1 &
env -i setsid /usr/bin/python3 -c "{STOPPED}" stray-stopped &
python3 -c "$TWICE"
trap "" TERM
while true; do sleep 1; done
"""
STRAYS = 5


def strays(lab: Lab) -> list[tuple[str, int, str]]:
    return [
        (name, *process)
        for name in lab.hosts
        for process in lab.processes(name)
        if process[1].split()[-1].startswith("stray-")
    ]


def pids_called(lab: Lab, host: str, wanted: str) -> list[int]:
    """Processes of ours on the host, by the name they gave themselves."""
    found = []
    for pid, _ in lab.processes(host):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == wanted:
                found.append(pid)
    return found


def end(lab: Lab, host: str, *names: str) -> None:
    for name in names:
        deadline = time.monotonic() + PATIENCE_S
        while not (pids := pids_called(lab, host, name)):  # the watcher gets its name a moment after its keeper began
            assert time.monotonic() < deadline, f"no {name} on {host}"
            time.sleep(0.01)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def let_it_be(lab: Lab, host: str) -> None:
    """The job is cancelled, nothing else."""


FIRST: dict[str, Callable[[Lab, str], None]] = {
    "nothing": let_it_be,
    "keeper": lambda lab, host: end(lab, host, "beowulf-keep"),
    "link": lambda lab, host: end(lab, host, LINK),
    "watcher": lambda lab, host: end(lab, host, "beowulf-watch"),
    "link then keeper": lambda lab, host: end(lab, host, LINK, "beowulf-keep"),
    "keeper then link": lambda lab, host: end(lab, host, "beowulf-keep", LINK),
    "watcher then keeper": lambda lab, host: end(lab, host, "beowulf-watch", "beowulf-keep"),
    "all": lambda lab, host: end(lab, host, "beowulf-watch", LINK, "beowulf-keep"),
}
LINK = "beowulf-link"


@pytest.mark.parametrize("first", FIRST)
def test_nothing_is_left(lab: Lab, head: RealHead, first: str) -> None:
    spec = JobSpec("escape", JOB, envs={"TWICE": TWICE}, min_nodes=2, max_nodes=2, kill_grace_s=1, retry=Retry((), 0))
    job = head.submit(spec)
    head.wait_for(lambda: len(strays(lab)) == 2 * STRAYS, "the job to spread")
    victim = head.client.job(job)["attempts"][-1]["allocation"]["shares"][1]["node"]
    head.client.resume(victim)  # so that the links these tests kill do not add up to a quarantine
    FIRST[first](lab, victim)
    with suppress(Refused):  # its end was noticed before
        head.client.cancel(job)
    done = head.ended(job)
    assert done["word"] == "CANCELLED" or ("keeper" in first or first == "all"), done["reason"]
    if done["word"] != "CANCELLED":
        assert (done["word"], done["reason"]) == ("NODE_FAIL", f"{victim}: keeper was killed")
    assert not strays(lab)
    assert not aftermath.of_jobs(lab)
    head.wait_for(lambda: not aftermath.keepers(lab), "whoever kept it to go")
    after = head.submit(JobSpec("after", "echo fine", nodelist=(victim,)))
    assert head.ended(after)["word"] == "COMPLETED"
    assert head.text(after, "0") == b"fine\n"


def test_a_job_that_ends_by_itself_leaves_nothing(lab: Lab, head: RealHead) -> None:
    script = JOB.replace('trap "" TERM\nwhile true; do sleep 1; done', "echo bye")
    job = head.submit(JobSpec("leaves", script, envs={"TWICE": TWICE}))
    done = head.ended(job)
    assert done["word"] == "COMPLETED", done["reason"]
    assert b"bye" in head.text(job, "0")
    assert not strays(lab)
    assert not aftermath.of_jobs(lab)
    head.wait_for(lambda: not aftermath.keepers(lab), "whoever kept it to go")

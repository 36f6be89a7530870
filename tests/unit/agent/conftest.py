import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_driver import Agent, wait_for


def processes_of(home: Path) -> list[int]:
    """Everything that has this home in its environment: links, keepers, watchers, and ranks that did not hide."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HOME={home}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Starts agents in a home of this test; at its end none, and no keeper, may be left."""
    started: list[Agent] = []

    def start(**options: Any) -> Agent:
        home = tmp_path / str(options.pop("home", "home"))
        home.mkdir(exist_ok=True)
        started.append(Agent(home, **options))
        return started[-1]

    yield start
    for agent in started:
        agent.close()
    homes = {agent.home for agent in started}
    for home in homes:
        # A test may leave a keeper at work on purpose; a rank dies with its keeper.
        for pid in processes_of(home):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(processes_of(home) for home in homes), "no process left of this test")


@pytest.fixture
def agent(agents: Callable[..., Agent]) -> Agent:
    return agents()

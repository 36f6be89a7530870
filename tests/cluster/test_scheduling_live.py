"""What the scheduler keeps of the past, met through the commands: projects, promised starts, and what if."""

from __future__ import annotations

import json

from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import JobSpec, Resources

ALONE = Resources(all_cpus=True)


def test_a_promise_is_kept_and_the_past_answers_what_if(lab: Lab, head: RealHead) -> None:
    """Two jobs want one node; the second is promised it at the first one's limit, and gets it earlier."""
    lab.run("n1", ["rm", "-f", "/root/turns"])
    turns = "until [ -e ~/turns ]; do sleep 0.1; done; sleep 1"
    spec = JobSpec("turns", turns, nodelist=("n1",), resources=ALONE, max_duration_s=600.0, project="vision")
    first = head.submit(spec)
    head.is_running(first)
    second = head.submit(spec)
    head.wait_for(lambda: head.client.job(second)["promised_at"] > 0, "a promised start")
    waits = head.cli("why", second)
    assert "Its first reservation was for" in waits.stdout, waits.stdout + waits.stderr
    lab.run("n1", ["touch", "/root/turns"])
    assert head.ended(second)["word"] == "COMPLETED"
    assert "; it started" in head.cli("why", second).stdout and "earlier." in head.cli("why", second).stdout
    past = head.cli("history", "--name", "turns")
    assert "/vision" in past.stdout and "promised a start: off by" in past.stderr, past.stdout + past.stderr
    assert "vision" in head.cli("show", second).stdout
    asked = head.cli("simulate", "--policy", "easy", "--what-if", "+1 node like n1", "--what-if", "-n2", "--json")
    told = json.loads(asked.stdout)
    assert told["as_it_is"]["jobs"] >= 2 and set(told["changes"]) == {"+1 node like n1", "-n2"}

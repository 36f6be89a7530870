"""What ``beowulf events --json`` prints of a small lab's past."""

from __future__ import annotations

import json
from typing import Any

from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.codec import encode_event
from beowulf.model.job import JobSpec, RankExit, Resources, Result
from beowulf.model.node import Endpoint, Facts, Gpu


def lines(kind: str = "") -> str:
    """``kind``: of the one GPU that the node has and each job takes; "": none."""
    cards = (Gpu(0, kind, "nvidia", kind, 11441),) if kind else ()
    spec = JobSpec("j", "true", resources=Resources(gpus=len(cards)))
    events: list[Any] = [
        ev.NodeAdded(0.0, "n1", Endpoint("n1"), "key"),
        ev.NodeUp(0.0, "n1", "/r", Facts(cpus=(0, 1), gpus=cards)),
    ]
    for number, result in ((1, Result.COMPLETED), (2, Result.FAILED), (3, Result.TIMEOUT)):
        job, at = str(number), 100.0 * number
        place = Allocation((Share("n1", (RankSlot(0, 0, (0,), tuple(card.index for card in cards)),)),), kind)
        events += [
            ev.JobSubmitted(at, job, number, spec, "u", 1),
            ev.JobPlaced(at, job, 1, place),
            ev.AttemptLaunched(at + 1, job, 1, 0),
            ev.ShareStarted(at + 2, job, 1, "n1"),
            ev.ProcessExited(at + 32, job, 1, RankExit("0", "n1", 0, at=at + 32)),
            ev.AttemptEnding(at + 33, job, 1, result, ""),
            ev.ShareCleared(at + 34, job, 1, "n1"),
            ev.AttemptEnded(at + 35, job, 1, result, ""),
        ]
    told = (encode_event(event) for event in events)
    return "".join(json.dumps({"kind": kind, "body": json.loads(body)}) + "\n" for kind, body in told)

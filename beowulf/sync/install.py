"""Bringing one environment to one node: wheels it does not have yet, then an installation without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from beowulf.sync.cancel import Cancellation
from beowulf.sync.environment import EnvironmentPlan
from beowulf.sync.progress import Progress, Report
from beowulf.sync.resolve import head_kind
from beowulf.sync.session import Session
from beowulf.sync.unpack import CHUNK
from beowulf.sync.wheels import Wheel, WheelHouse


def install(
    talk: Session, house: WheelHouse, planned: EnvironmentPlan, report: Report, cancellation: Cancellation
) -> None:
    """Ends with ``envs/<digest>`` on the node. Raises `StagingError`."""
    report(Progress(talk.node, "resolving the environment"))
    wheels = house.wheels(planned, cancellation)
    uv = house.uv() if planned.kind.arch == head_kind().arch else None
    tools = (uv,) if uv else ()
    present = set(talk.ask({"type": "status", "wheels": [wheel.sha256 for wheel in (*wheels, *tools)]})["wheels"])
    send_wheels(talk, house, [wheel for wheel in (*wheels, *tools) if wheel.sha256 not in present], uv, report)
    report(Progress(talk.node, f"installing {len(wheels)} packages"))
    talk.ask(
        {
            "type": "build",
            "digest": planned.digest,
            "python": planned.interpreter,
            "wheels": [asdict(wheel) for wheel in wheels],
            "uv": asdict(uv) if uv else None,
        }
    )


def send_wheels(talk: Session, house: WheelHouse, wheels: Sequence[Wheel], uv: Wheel | None, report: Report) -> None:
    total = sum(wheel.size_bytes for wheel in wheels)
    done = 0
    for wheel in wheels:

        def sent(content_bytes: int, _: int, name: str = wheel.name) -> None:
            nonlocal done
            done += content_bytes
            report(Progress(talk.node, name, done, total))

        request = {"type": "wheel", "sha256": wheel.sha256, "name": wheel.name, "executable": wheel == uv}
        talk.send(request)
        talk.send_stream(_pieces(house.path(wheel)), sent)
        talk.answer()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")

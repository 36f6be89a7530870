"""What no key of a job file can see alone: keys that need or exclude each other."""

from __future__ import annotations

from beowulf.specs import burst
from beowulf.specs.complaints import Complaints, shown
from beowulf.specs.gpus import Accelerators
from beowulf.specs.kinds import Fields


def check(fields: Fields, to: Complaints) -> None:
    """``fields``: the whole job's."""
    if "run" not in fields.places:
        to.add(fields.place, "nothing to run: add 'run: COMMAND'")
    _check_environment(_section(fields, "env"), to)
    _check_launcher(fields, to)
    _check_communication(fields, _section(fields, "communication"), to)
    _check_resources(_section(fields, "resources"), to)
    _check_nodes(fields, to)
    checkpoint = _section(fields, "checkpoint")
    if "checkpoint" in fields.places and "path" not in checkpoint.places:
        to.add(fields.at("checkpoint"), "checkpoint names no folder: add 'path: ckpt/'")
    burst.check(fields, to)


def _section(fields: Fields, key: str) -> Fields:
    return fields.get(key, Fields(fields.place))


def _check_environment(env: Fields, to: Complaints) -> None:
    if "venv" in env.places and "requirements" in env.places:
        to.add(env.at("venv"), "env.venv and env.requirements exclude each other: keep one")


def _check_launcher(fields: Fields, to: Complaints) -> None:
    torchrun, horovod = _section(fields, "torchrun"), _section(fields, "horovod")
    launcher = fields.get("launcher", "command")
    if torchrun.get("elastic", False) and launcher != "torchrun":
        to.add(torchrun.at("elastic"), "torchrun.elastic needs 'launcher: torchrun'")
    if "controller" in horovod.places and launcher != "horovod":
        to.add(horovod.at("controller"), "horovod.controller needs 'launcher: horovod'")


def _check_communication(fields: Fields, communication: Fields, to: Complaints) -> None:
    if "allow" in communication.places and communication.get("mode", "auto") != "auto":
        to.add(communication.at("allow"), "communication.allow is for 'mode: auto': a named mode is all that is used")
    if communication.get("mode", "") == "auto" and "allow" not in communication.places:
        to.add(communication.at("mode"), "communication.mode 'auto' needs 'allow': the modes it may leave exact for")
    key = "allow" if "allow" in communication.places else "mode"
    does = key == "mode" and communication.get("mode", "exact") in ("exact", "fp16")
    if fields.get("launcher", "command") == "horovod" and not does:
        to.add(
            communication.at(key), f"communication.{key}: Horovod does exact and fp16; else take 'launcher: torchrun'"
        )


def _check_resources(resources: Fields, to: Complaints) -> None:
    gpus = resources.get("accelerators", Accelerators(1))
    if "gpu_memory" in resources.places and (gpus.count != 1 or gpus.fraction):
        to.add(resources.at("gpu_memory"), "gpu_memory is a part of one GPU: leave out the count of accelerators")
    if "compute_capability" in resources.places and not resources.get("accelerators", Accelerators(0)).count:
        to.add(resources.at("compute_capability"), "compute_capability needs accelerators: how many GPUs")


def _check_nodes(fields: Fields, to: Complaints) -> None:
    low, high = fields.get("num_nodes", (1, 1))
    if fields.get("on_rank_loss", "fail") == "shrink" and low == high:
        to.add(fields.at("on_rank_loss"), "on_rank_loss: shrink needs a range of num_nodes: 'num_nodes: 2..8'")
    both: set[str] = set(fields.get("nodelist", ())) & set(fields.get("exclude", ()))
    if both:
        to.add(fields.at("exclude"), f"exclude {shown(min(both))} is also in nodelist")

"""Job file → `JobRequest` (everything the text says) → `JobSpec` (with the trees that were packed)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from beowulf.model.errors import BadInput
from beowulf.model.job import (
    Checkpointing,
    Communication,
    Environment,
    JobSpec,
    Launcher,
    Mount,
    Resources,
    Retry,
    Tree,
)
from beowulf.specs import burst, sbatch
from beowulf.specs import document as doc
from beowulf.specs.complaints import Complaints, Place, Wrong, shown
from beowulf.specs.gpus import Accelerators
from beowulf.specs.job_checks import check
from beowulf.specs.job_keys import JOB
from beowulf.specs.job_options import OPTIONS
from beowulf.specs.kinds import Fields, Record
from beowulf.specs.quantities import requirement


@dataclass(frozen=True, slots=True)
class FileMount:
    """``source``, a file or folder of this machine as written, is to appear at ``target`` on every node."""

    target: str
    source: str


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job as its file and options describe it. Paths are as written; nothing was read or packed yet."""

    spec: JobSpec  # without trees, submit_dir, and the lines of a requirements file
    workdir: str | None = None
    file_mounts: tuple[FileMount, ...] = ()
    requirements_file: str | None = None
    array: tuple[int, ...] = ()


def parse_job(text: str, *, name: str, overrides: Iterable[tuple[str, str]] = ()) -> JobRequest:
    """The job that ``text`` asks for. ``overrides`` are options and their values (``("--num-nodes", "4")``), and win.

    Raises `BadInput` with one line per complaint: ``jobs/pi.yaml:7:11: launcher 'mpich' is not known (…)``.
    """
    complaints = Complaints()
    read = sbatch.read_script if sbatch.is_script(text) else doc.read_document
    return _request(read(text, name, complaints), name, overrides, complaints)


def command_job(argv: Sequence[str], *, overrides: Iterable[tuple[str, str]] = ()) -> JobRequest:
    """The job of ``beowulf run -- ARGV``. Raises `BadInput`."""
    complaints = Complaints()
    place = Place("command")
    for argument in argv:
        if "\0" in argument or any("\ud800" <= char <= "\udfff" for char in argument):
            complaints.add(place, f"{shown(argument)} is not UTF-8 text")
    run = doc.Sequence(place, tuple(doc.Scalar(place, argument) for argument in argv))
    tree = doc.Table(place, (doc.Entry(doc.Scalar(place, "run"), run),))
    return _request(tree, argv[0] if argv else "command", overrides, complaints)


def complete(
    request: JobRequest,
    *,
    workdir_tree: Tree | None = None,
    mount_trees: Sequence[Tree] = (),
    requirements_lines: Iterable[str] = (),
    submit_dir: str = "",
) -> JobSpec:
    """The spec to submit. ``mount_trees`` are in the order of ``request.file_mounts``; ``requirements_lines`` are the
    lines of ``request.requirements_file``. Raises `BadInput` for a requirement line this version does not take."""
    environment = request.spec.environment
    if request.requirements_file is not None:
        lines = _requirements(requirements_lines, request.requirements_file)
        environment = replace(environment, requirements=lines)
    mounts = zip(request.file_mounts, mount_trees, strict=True)
    return replace(
        request.spec,
        workdir=workdir_tree,
        mounts=tuple(Mount(mount.target, tree) for mount, tree in mounts),
        environment=environment,
        submit_dir=submit_dir,
    )


def _request(root: doc.Node, name: str, overrides: Iterable[tuple[str, str]], to: Complaints) -> JobRequest:
    to.raise_if_any()  # what is not YAML makes no further sense
    fields = JOB.read(_overlaid(root, overrides, to), "", to)
    if fields is None:
        fields = Fields(root.place)
    check(fields, to)
    to.raise_if_any()
    env: Fields = fields.get("env", Fields(root.place))
    requirements = env.get("requirements", None)
    mounts: dict[str, str] = fields.get("file_mounts", {})
    return JobRequest(
        _spec(fields, name),
        fields.get("workdir", None),
        tuple(FileMount(target, source) for target, source in mounts.items()),
        requirements if isinstance(requirements, str) else None,
        fields.get("array", ()),
    )


def _spec(fields: Fields, file: str) -> JobSpec:
    run: str | tuple[str, ...] = fields.get("run", "")
    low, high = fields.get("num_nodes", (1, 1))
    nothing = Fields(fields.place)
    retry = fields.get("retry", nothing)
    alike: dict[str, Any] = {name: fields.values[key] for key, name in AS_READ.items() if key in fields.values}
    return JobSpec(
        name=fields.get("name", "") or _name_of(file),
        script=run if isinstance(run, str) else "",
        argv=() if isinstance(run, str) else run,
        launcher=Launcher(fields.get("launcher", "command")),
        min_nodes=low,
        max_nodes=high,
        resources=_resources(fields.get("resources", nothing)),
        environment=_environment(fields.get("env", nothing)),
        retry=Retry(retry.get("on", Retry().on), retry.get("max", Retry().max)),
        checkpoint=_checkpoint(fields.get("checkpoint", nothing)),
        torch_elastic=fields.get("torchrun", nothing).get("elastic", False),
        horovod_controller=fields.get("horovod", nothing).get("controller", "mpi"),
        communication=_communication(fields.get("communication", nothing)),
        burst=burst.read(fields.get("burst", nothing), fields.get("spot_policy", "auto")),
        **alike,
    )


# Keys whose value is a field of `JobSpec` as it was read, with the field's own default.
SAME_NAME = (
    "setup", "procs_per_node", "envs", "outputs", "priority", "queue", "project", "service_class", "on_rank_loss",
    "nodelist", "exclude", "group", "site", "family", "steps", "mix_devices",
)  # fmt: skip
AS_READ: Mapping[str, str] = {
    **{key: key for key in SAME_NAME},
    "max_duration": "max_duration_s",
    "kill_grace": "kill_grace_s",
    "dependency": "dependencies",
}


def _resources(fields: Fields) -> Resources:
    cpus = fields.get("cpus", 0)
    part_mib: int = fields.get("gpu_memory", 0)
    gpus = fields.get("accelerators", Accelerators(1 if part_mib else 0))
    return Resources(
        cpus=max(cpus, 0),
        all_cpus=cpus < 0,
        memory_mib=fields.get("memory", 0),
        disk_mib=fields.get("disk", 0),
        gpus=gpus.count,
        gpu_kinds=gpus.kinds,
        gpu_memory_mib=gpus.memory_mib,
        gpu_fraction=gpus.fraction,
        gpu_part_mib=part_mib,
        gpu_capability=fields.get("compute_capability", ""),
    )


def _communication(fields: Fields) -> Communication:
    allow: tuple[str, ...] = fields.get("allow", ())
    return Communication(fields.get("mode", "auto" if allow else "exact"), allow)


def _checkpoint(fields: Fields) -> Checkpointing | None:
    path: str = fields.get("path", "").rstrip("/")
    return Checkpointing(path, fields.get("signal", "USR1")) if path else None


def _environment(fields: Fields) -> Environment:
    requirements: str | tuple[str, ...] = fields.get("requirements", ())
    return Environment(
        python=fields.get("python", ""),
        requirements=() if isinstance(requirements, str) else requirements,
        venv=fields.get("venv", ""),
        system_mpi=fields.get("system_mpi", False),
    )


def _name_of(file: str) -> str:
    stem = (
        posixpath.basename(file).rsplit(".", 1)[0] if "." in posixpath.basename(file)[1:] else posixpath.basename(file)
    )
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("-.")[:64] or "job"


def _requirements(lines: Iterable[str], file: str) -> tuple[str, ...]:
    """Without comments, blank lines and line ends; continued lines joined."""
    complaints = Complaints()
    found: list[str] = []
    started, joined = 0, ""
    for number, line in enumerate(lines, 1):
        started = started if joined else number
        joined += re.sub(r"(^|\s)#.*", "", line.rstrip("\r\n"))
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        if joined.strip():
            try:
                found.append(requirement(joined.strip()))
            except Wrong as wrong:
                complaints.add(Place(file, started, 1), f"requirement {shown(joined.strip())} {wrong}")
        joined = ""
    complaints.raise_if_any()
    return tuple(found)


def _overlaid(root: doc.Node, overrides: Iterable[tuple[str, str]], to: Complaints) -> doc.Node:
    """The tree with each option's value in its key's place."""
    for option, text in overrides:
        place = Place(option)
        path = OPTIONS.get(option)
        if path is None:
            raise BadInput(f"is not an option of a job ({', '.join(OPTIONS)})", where=option)
        if path == ("envs",):
            variable, equals, text = text.partition("=")
            if not equals:
                to.add(place, f"{shown(variable)} is not NAME=VALUE")
                continue
            path = ("envs", variable)
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            to.add(place, f"{shown(text)} is not UTF-8 text")
            continue
        root = _put(root, JOB, path, doc.Scalar(place, text))
    return root


def _put(node: doc.Node, record: Record | None, path: tuple[str, ...], value: doc.Scalar) -> doc.Node:
    """``node`` with ``value`` at ``path``, in place of whatever spelling of that key was there."""
    if isinstance(node, (doc.Sequence, doc.Scalar)) and not (isinstance(node, doc.Scalar) and node.is_null):
        return node  # the file is wrong here, and will be told so
    entries = node.entries if isinstance(node, doc.Table) else ()
    key = record.find(path[0]) if record else None
    same = {path[0], *((key.name, *key.also) if key else ())}
    old = next((entry.value for entry in entries if entry.key.text in same), doc.Table(value.place))
    inner = key.kind if key and isinstance(key.kind, Record) else None
    new = _put(old, inner, path[1:], value) if len(path) > 1 else value
    kept = tuple(entry for entry in entries if entry.key.text not in same)
    return doc.Table(node.place, (*kept, doc.Entry(doc.Scalar(value.place, path[0]), new)))

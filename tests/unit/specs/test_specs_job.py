"""A job file in, a `JobRequest` out; and complaints that say where and how to mend it."""

from __future__ import annotations

import pytest

from beowulf.model.errors import BadInput
from beowulf.model.job import (
    Burst,
    Checkpointing,
    Communication,
    Dependency,
    Environment,
    JobSpec,
    Launcher,
    Mount,
    Resources,
    Retry,
    Tree,
)
from beowulf.specs.job import FileMount, JobRequest, command_job, complete, parse_job

EVERYTHING = """\
name: digits
num_nodes: 2..8
procs_per_node: 2
resources:
  cpus: 4+
  memory: 16GB
  disk: 512MB
  accelerators: RTX3090:2
workdir: jobs/digits
file_mounts:
  ./data//raw: ~/data
  ~/.cache/model: /srv/model.bin
setup: |
  echo setting up
run: python train.py
env:
  python: 3.10
  requirements: requirements.txt
  system_mpi: true
envs: {LR: 0.10, FLAG: true, TEXT: "a b", EMPTY: ""}
launcher: torchrun
torchrun: {elastic: true}
outputs: [results/, log.txt]
max_duration: 1h30m
kill_grace: 5
priority: -3
queue: night
array: 1-5:2,9
dependency: [afterok:12, "afterany:13:14_2"]
communication: {mode: auto, allow: [fp16, local-sgd]}
retry: {on: [node_fail, error], max: 1}
on_rank_loss: requeue
nodelist: n[01-03],gpu1
exclude: [n04, "n[05-06]"]
group: fast
"""


def job(text: str, **overrides: str) -> JobRequest:
    return parse_job(
        text, name="jobs/pi.yaml", overrides=[("--" + k.replace("_", "-"), v) for k, v in overrides.items()]
    )


def spec(text: str) -> JobSpec:
    return job(f"run: x\n{text}\n").spec


def complaint(text: str, **overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        job(text, **overrides)
    return str(caught.value)


def test_every_key_reaches_the_request() -> None:
    expected = JobSpec(
        name="digits",
        script="python train.py",
        launcher=Launcher.TORCHRUN,
        setup="echo setting up\n",
        min_nodes=2,
        max_nodes=8,
        procs_per_node=2,
        resources=Resources(4, False, 16384, 512, 2, ("RTX3090",)),
        environment=Environment("3.10", (), "", True),
        envs={"LR": "0.10", "FLAG": "true", "TEXT": "a b", "EMPTY": ""},
        outputs=("results/", "log.txt"),
        max_duration_s=5400.0,
        kill_grace_s=5.0,
        priority=-3,
        queue="night",
        dependencies=(Dependency("afterok", "12"), Dependency("afterany", "13"), Dependency("afterany", "14_2")),
        retry=Retry(("node_fail", "error"), 1),
        on_rank_loss="requeue",
        torch_elastic=True,
        communication=Communication("auto", ("fp16", "local-sgd")),
        nodelist=("n01", "n02", "n03", "gpu1"),
        exclude=("n04", "n05", "n06"),
        group="fast",
    )
    mounts = (FileMount("data/raw", "~/data"), FileMount("~/.cache/model", "/srv/model.bin"))
    assert job(EVERYTHING) == JobRequest(expected, "jobs/digits", mounts, "requirements.txt", (1, 3, 5, 9))


def test_the_shortest_job_has_the_models_defaults_and_the_files_name() -> None:
    assert job("run: ./pi") == JobRequest(JobSpec("pi", "./pi"))


def test_allowed_modes_are_for_choosing_among() -> None:
    assert spec("communication: {allow: [fp16, fp16]}").communication == Communication("auto", ("fp16",))
    assert spec("communication: {mode: powersgd}").communication == Communication("powersgd")
    assert job("run: x", communication="diloco").spec.communication == Communication("diloco")


def test_aliases_mean_the_same() -> None:
    ours = "num_nodes: 4\nresources: {accelerators: any:2}\nrun: x\nretry: {max: 1}\nlauncher: command"
    theirs = "nodes: 4\nresources: {gpu: ':2'}\nrun: x\njob_recovery: {max: 1}\nlauncher: none"
    assert job(ours) == job(theirs)


def test_commands_are_shell_lines_of_which_a_failing_one_ends_the_rank() -> None:
    assert job("commands:\n- cd src\n- make").spec.script == "set -e\ncd src\nmake"


def test_a_list_is_passed_on_as_it_is() -> None:
    assert job('run: [printf, "%s", "a  b\\n\\t$(id)", "", 007, true, "\\e[1m", é]').spec.argv == (
        "printf", "%s", "a  b\n\t$(id)", "", "007", "true", "\x1b[1m", "é",
    )  # fmt: skip
    assert job("run: [ls]").spec.script == ""


@pytest.mark.parametrize(
    ("written", "resources"),
    [
        ("cpus: 4", Resources(cpus=4)),
        ("cpus: all", Resources(all_cpus=True)),
        ("memory: 16", Resources(memory_mib=16384)),
        ("memory: 16+", Resources(memory_mib=16384)),
        ("memory: 8GB..", Resources(memory_mib=8192)),
        ("memory: 1.5GiB", Resources(memory_mib=1536)),
        ("memory: 1kb", Resources(memory_mib=1)),
        ("accelerators: RTX3090", Resources(gpus=1, gpu_kinds=("RTX3090",))),
        ("accelerators: {RTX3090: 1, H200: 1}", Resources(gpus=1, gpu_kinds=("H200", "RTX3090"))),
        ("accelerators: {any: 2}", Resources(gpus=2)),
        ("accelerators: [RTX3090:2, 'RTX2080:2']", Resources(gpus=2, gpu_kinds=("RTX3090", "RTX2080"))),
        ("gpu: any, compute_capability: 7.0+", Resources(gpus=1, gpu_capability="7.0")),
        ("gpu: 24GB:2", Resources(gpus=2, gpu_memory_mib=24576)),
        ("gpu: A100:40GB:8", Resources(gpus=8, gpu_kinds=("A100",), gpu_memory_mib=40960)),
        ("gpu: 3", Resources(gpus=3)),
        ("accelerators: RTX3090:0.5", Resources(gpus=1, gpu_kinds=("RTX3090",), gpu_fraction=0.5)),
        ("accelerators: {any: 0.25}", Resources(gpus=1, gpu_fraction=0.25)),
        ("gpus: 0.5", Resources(gpus=1, gpu_fraction=0.5)),
        ("gpu_memory: 6GB", Resources(gpus=1, gpu_part_mib=6144)),
        ("gpu: RTX3090, gpu_memory: 6GB", Resources(gpus=1, gpu_kinds=("RTX3090",), gpu_part_mib=6144)),
    ],
)
def test_resources(written: str, resources: Resources) -> None:
    assert spec(f"resources: {{{written}}}").resources == resources


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gpu: 1.5", "is neither a whole number of accelerators nor a part of one, from 0.01 to 0.99"),
        ("gpu: any:0", "is not between 1 and 1024"),
        ("gpu: any:2, gpu_memory: 6GB", "gpu_memory is a part of one GPU: leave out the count of accelerators"),
        ("gpu: any:0.5, gpu_memory: 6GB", "gpu_memory is a part of one GPU: leave out the count of accelerators"),
    ],
)
def test_a_part_is_of_one_gpu(written: str, said: str) -> None:
    assert said in complaint(f"run: x\nresources: {{{written}}}")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90m", 5400), ("1h30m", 5400), ("2-03:00:00", 183600), ("10:30", 630), ("1:00:00", 3600), ("1-12", 129600),
     ("45", 45), ("2d", 172800), ("1.5s", 1.5), ("30min", 1800), ("unlimited", 0)],
)  # fmt: skip
def test_durations(written: str, seconds: float) -> None:
    assert spec(f"max_duration: {written}").max_duration_s == seconds


def test_all_complaints_of_a_file_come_at_once_in_its_order() -> None:
    text = """\
name: ../pi
num_nodes: 0
nodes: 3
resources: {cpus: many, memory: 16QB, gpu: [RTX3090:1, "H200:2"], vram: 3}
file_mounts: {/etc/cron.d/x: a, ~/.ssh/y: b, a/../../b: c, d: gs://bucket/d}
run: ./pi
launcher: mpich
launchr: mpi
secrets: {policy: auto}
on_rank_loss: explode
array: 1-10%2
envs: {RANK: 1, "A-B": 2, LD_PRELOAD: }
env: {venv: ~/env, requirements: [-r other.txt], PATH: /bin}
retry: {on: [node_fail, boredom]}
outputs: /etc
"""
    assert complaint(text).splitlines() == [
        "jobs/pi.yaml:1:7: name '../pi' is not a name (1 to 64 letters, digits, '.', '_' and '-',"
        " not beginning with '-')",
        "jobs/pi.yaml:2:12: num_nodes '0' is not a number of nodes between 1 and 10000",
        "jobs/pi.yaml:3:1: nodes is given twice: it is the same as num_nodes",
        "jobs/pi.yaml:4:19: resources.cpus 'many' is not a whole number",
        "jobs/pi.yaml:4:33: resources.memory '16QB' is not an amount (16GB, 512MB, 16+; a bare number counts in GB)",
        "jobs/pi.yaml:4:44: resources.gpu must ask for the same count (and memory) of each kind in a list",
        "jobs/pi.yaml:4:67: key 'resources.vram' is not known; known are: cpus, memory, disk, accelerators,"
        " gpu_memory, compute_capability",
        "jobs/pi.yaml:5:15: file_mounts '/etc/cron.d/x' is absolute: on a node only the work folder (data/) and the"
        " home (~/data) are ours to write",
        "jobs/pi.yaml:5:33: file_mounts '~/.ssh/y' would write into ~/.ssh or ~/.beowulf, which is refused",
        "jobs/pi.yaml:5:46: file_mounts 'a/../../b' holds '..': write the path from / or ~/, or from where"
        " beowulf is run",
        "jobs/pi.yaml:5:63: file_mounts.d 'gs://bucket/d' is an address of a kind that is not fetched:"
        " s3://bucket/key, or files and folders here",
        "jobs/pi.yaml:7:11: launcher 'mpich' is not known (command, horovod, mpi, tensorflow, torchrun)",
        "jobs/pi.yaml:8:1: key 'launchr' is not known; did you mean 'launcher'?",
        "jobs/pi.yaml:9:1: 'secrets' is not there yet: this version does not hand out secrets; keep them in a file"
        " that is on the nodes",
        "jobs/pi.yaml:10:15: on_rank_loss 'explode' is not known (fail, requeue, shrink)",
        "jobs/pi.yaml:11:8: array '1-10%2' limits how many tasks run at once ('%'), which this version does not do:"
        " leave the limit out",
        "jobs/pi.yaml:12:8: envs 'RANK' is set by beowulf for every rank and cannot be given",
        "jobs/pi.yaml:12:17: envs 'A-B' is not a variable's name (letters, digits and '_', not beginning with a digit)",
        "jobs/pi.yaml:12:38: envs.LD_PRELOAD has no value: text",
        "jobs/pi.yaml:13:13: env.venv '~/env' is not absolute: it must be the same path on every node"
        " (/opt/envs/torch)",
        "jobs/pi.yaml:13:13: env.venv and env.requirements exclude each other: keep one",
        "jobs/pi.yaml:13:35: env.requirements '-r other.txt' is an option this version does not take"
        " (only --index-url, --extra-index-url, --find-links)",
        "jobs/pi.yaml:13:50: key 'env.PATH' is not known; environment variables go under 'envs'",
        "jobs/pi.yaml:14:25: retry.on 'boredom' is not known (error, node_fail, preempted)",
        "jobs/pi.yaml:15:10: outputs '/etc' is not below the work folder: write it relative to that (results/)",
    ]


def test_a_job_must_run_something() -> None:
    assert complaint("name: x") == "jobs/pi.yaml:1:1: nothing to run: add 'run: COMMAND'"
    assert complaint("") == "jobs/pi.yaml:1:1: nothing to run: add 'run: COMMAND'"
    assert complaint("run: []").endswith("run names no program")


def test_elastic_needs_torchrun() -> None:
    assert "torchrun.elastic needs 'launcher: torchrun'" in complaint("run: x\ntorchrun: {elastic: true}")


def test_modes_are_allowed_where_one_is_chosen() -> None:
    assert "communication.allow is for 'mode: auto'" in complaint("run: x\ncommunication: {mode: fp16, allow: exact}")
    assert "'auto' needs 'allow'" in complaint("run: x\ncommunication: {mode: auto}")
    assert "communication.mode 'fp8' is not" in complaint("run: x\ncommunication: {mode: fp8}")


@pytest.mark.parametrize("key", ["any_of", "ordered", "container", "secrets", "regions"])
def test_keys_of_later_versions_are_refused_by_name(key: str) -> None:
    assert complaint(f"run: x\n{key}: y").startswith(f"jobs/pi.yaml:2:1: '{key}' is not there yet: this version ")


def test_what_may_be_rented() -> None:
    read = spec("burst: {policy: auto, max_price: $2.50, budget: 20, deadline: 3h, providers: [aws, gcp]}").burst
    assert read == Burst("auto", True, True, 2.5, 20.0, 10800.0, ("aws", "gcp"))
    assert spec("").burst == Burst() and Burst().policy == "never"
    assert not spec("burst: {policy: auto, use_spot: false}").burst.use_spot
    assert spec("spot_policy: on-demand").burst.use_spot is False
    only = spec("burst: {policy: prefer, spot_policy: spot}").burst
    assert only.use_spot and not only.on_demand
    said = complaint("run: x\nburst: {policy: auto, use_spot: true, spot_policy: spot}")
    assert said.endswith("burst.spot_policy and burst.use_spot exclude each other: keep one")
    assert complaint("run: x\nburst: {budget: 2}").startswith("jobs/pi.yaml:2:17: burst.budget needs 'policy: auto'")
    for price in ("-1", "0", "nan", "inf", "1e9", "99999999", "two"):
        assert "burst.max_price" in complaint(f"run: x\nburst: {{policy: auto, max_price: {price}}}")


STRETCHED = """run: x
num_nodes: 2
launcher: torchrun
steps: 100
communication: {mode: diloco}
burst: {policy: auto, stretch: true, model: 50MB}
"""


def test_a_gang_over_two_sites_is_consented_to() -> None:
    read = parse_job(STRETCHED, name="jobs/pi.yaml").spec.burst
    assert read.stretch and read.model_mib == 50
    assert not spec("burst: {policy: auto, stretch: false}").burst.stretch


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("mode: diloco", "mode: fp16", "needs 'communication: {mode: local-sgd}' or 'diloco': others wait"),
        ("mode: diloco", "allow: [diloco]", "needs 'communication: {mode: local-sgd}' or 'diloco': others wait"),
        ("launcher: torchrun", "launcher: command", "needs 'launcher: torchrun' without 'elastic'"),
        ("num_nodes: 2", "num_nodes: 1", "needs 'num_nodes: 2' or more"),
        ("steps: 100", "name: x", "needs 'steps: N', its optimizer steps"),
        (", model: 50MB", "", "needs 'model: 50MB', its parameters"),
    ],
)
def test_and_never_without_what_makes_it_bearable(written: str, instead: str, said: str) -> None:
    told = complaint(STRETCHED.replace(written, instead))
    assert told.startswith(f"jobs/pi.yaml:6:32: burst.stretch {said}") and "\n" not in told


def test_what_is_for_stretching_is_not_said_without_it() -> None:
    told = complaint("run: x\nburst: {policy: auto, model: 50MB}")
    assert told.startswith("jobs/pi.yaml:2:30: burst.model is for 'stretch: true'")
    assert "burst.stretch needs 'policy: auto'" in complaint("run: x\nburst: {stretch: true}")


def test_a_job_may_be_pinned_to_a_site() -> None:
    assert spec("site: lab").site == "lab"
    assert spec("infra: aws/us-east-1").site == "aws:us-east-1"
    assert "site 'aws:a:b' is not a site" in complaint("run: x\nsite: aws:a:b")


def test_horovod_meets_over_mpi_unless_told_otherwise() -> None:
    assert spec("launcher: horovod").horovod_controller == "mpi"
    assert spec("launcher: horovod\nhorovod: {controller: gloo}").horovod_controller == "gloo"
    said = complaint("run: x\nlauncher: mpi\nhorovod: {controller: gloo}")
    assert said == "jobs/pi.yaml:3:23: horovod.controller needs 'launcher: horovod'"
    assert "(gloo, mpi)" in complaint("run: x\nlauncher: horovod\nhorovod: {controller: nccl}")


def test_horovod_does_two_of_the_communication_modes() -> None:
    assert spec("launcher: horovod\ncommunication: {mode: fp16}").communication.mode == "fp16"
    sentence = "Horovod does exact and fp16; else take 'launcher: torchrun'"
    for key, value in (("mode", "powersgd"), ("allow", "[fp16]")):
        said = complaint(f"run: x\nlauncher: horovod\ncommunication: {{{key}: {value}}}")
        assert said == f"jobs/pi.yaml:3:{17 + len(key) + 2}: communication.{key}: {sentence}"


class TestOptions:
    def test_win_over_the_file_whatever_spelling_it_used(self) -> None:
        request = job("nodes: 4\nresources: {gpu: 2, cpus: 3}\nrun: x", num_nodes="2", gpus="RTX3090", name="mine")
        assert (request.spec.min_nodes, request.spec.name) == (2, "mine")
        assert request.spec.resources == Resources(cpus=3, gpus=1, gpu_kinds=("RTX3090",))

    def test_add_to_sections_that_are_not_there(self) -> None:
        options = [
            ("--env", "A=1=2"),
            ("--env", "B="),
            ("--venv", "/opt/env"),
            ("--max-retries", "0"),
            ("--array", "1-2"),
        ]
        request = parse_job("run: x", name="x.yaml", overrides=options)
        assert request.spec.envs == {"A": "1=2", "B": ""}
        assert request.spec.environment.venv == "/opt/env"
        assert (request.spec.retry.max, request.array) == (0, (1, 2))

    def test_fill_a_variable_the_file_left_open(self) -> None:
        assert job("run: x\nenvs: {TOKEN: }", env="TOKEN=a").spec.envs == {"TOKEN": "a"}

    def test_are_checked_by_the_same_code(self) -> None:
        assert (
            complaint("run: x", num_nodes="none")
            == "--num-nodes: num_nodes 'none' is not a number of nodes (4, or 2..8)"
        )
        assert complaint("run: x", env="RANK=3").startswith("--env: envs 'RANK' is set by beowulf")
        assert complaint("run: x", env="novalue") == "--env: 'novalue' is not NAME=VALUE"
        assert complaint("run: x", name="a\nb").startswith("--name: name 'a\\nb' is not a name")

    def test_a_null_word_is_only_text_on_the_command_line(self) -> None:
        assert job("run: x", name="null").spec.name == "null"


class TestCommandJob:
    def test_takes_arguments_byte_for_byte(self) -> None:
        argv = ["./my prog", "-x", "a\nb", "", "~", "null", "{work}", "$(id)"]
        request = command_job(argv, overrides=[("--num-nodes", "2")])
        assert request.spec.argv == tuple(argv)
        assert (request.spec.name, request.spec.min_nodes) == ("my-prog", 2)

    @pytest.mark.parametrize("argv", [[], [""], ["a", "b\0"], ["a", "\udcff"]])
    def test_refuses_what_no_program_can_be_given(self, argv: list[str]) -> None:
        with pytest.raises(BadInput):
            command_job(argv)


class TestComplete:
    tree = Tree("d1", 10, 1, "jobs/digits")

    def test_puts_trees_lines_and_folder_in_place(self) -> None:
        request = job(EVERYTHING)
        lines = ["# comment\n", "torch==2.13.0  # pinned\n", "\n", "numpy \\\n", "  >=2\n", "git+https://host/x#egg=x"]
        mounts = (Tree("d2", 1, 1, "~/data"), Tree("d3", 1, 1, "/srv/model.bin"))
        done = complete(
            request, workdir_tree=self.tree, mount_trees=mounts, requirements_lines=lines, submit_dir="/home/u"
        )
        assert done.workdir == self.tree
        assert done.mounts == (Mount("data/raw", mounts[0]), Mount("~/.cache/model", mounts[1]))
        assert done.environment.requirements == ("torch==2.13.0", "numpy   >=2", "git+https://host/x#egg=x")
        assert done.submit_dir == "/home/u"

    def test_keeps_the_lines_of_a_list(self) -> None:
        request = job("run: x\nenv: {requirements: [mpi4py, --extra-index-url https://host/simple]}")
        assert request.requirements_file is None
        assert complete(request).environment.requirements == ("mpi4py", "--extra-index-url https://host/simple")

    def test_says_which_line_of_a_requirements_file_it_does_not_take(self) -> None:
        with pytest.raises(BadInput, match=r"^requirements.txt:2:1: requirement '-e \.' is an option"):
            complete(job("run: x\nenv: {requirements: requirements.txt}"), requirements_lines=["numpy\n", "-e .\n"])


def test_a_checkpoint_folder_and_its_signal() -> None:
    assert spec("checkpoint: {path: ./ckpt/}").checkpoint == Checkpointing("ckpt", "USR1")
    assert spec("checkpoint: {path: a/b, signal: USR2}").checkpoint == Checkpointing("a/b", "USR2")
    assert spec("").checkpoint is None
    assert "checkpoint names no folder: add 'path: ckpt/'" in complaint("run: x\ncheckpoint: {signal: USR1}")
    assert "checkpoint.signal 'KILL' is not known" in complaint("run: x\ncheckpoint: {path: c, signal: KILL}")


def test_shrinking_needs_a_range_of_nodes() -> None:
    assert spec("on_rank_loss: shrink\nnum_nodes: 2..8").on_rank_loss == "shrink"
    said = complaint("run: x\nnum_nodes: 4\non_rank_loss: shrink")
    assert said == "jobs/pi.yaml:3:15: on_rank_loss: shrink needs a range of num_nodes: 'num_nodes: 2..8'"

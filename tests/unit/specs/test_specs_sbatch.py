"""Scripts written for Slurm, taken as job files."""

from __future__ import annotations

import subprocess

import pytest

from beowulf.model.errors import BadInput
from beowulf.specs.job import parse_job

SCRIPT = """#!/bin/bash -l
#SBATCH --job-name=digits   # what it is
#SBATCH -N 2 --ntasks-per-node=4
#SBATCH --cpus-per-task 2
#SBATCH --gres=gpu:K80:2
#SBATCH --mem=16G
#SBATCH -t 1-02:00:00
#SBATCH --output=%j.log

#SBATCH -p night
module load nothing
#SBATCH --job-name=too-late
srun -n 8 --cpu-bind=cores python train.py
"""


def test_what_the_lines_ask_for() -> None:
    request = parse_job(SCRIPT, name="train.sbatch")
    spec = request.spec
    assert (spec.name, spec.min_nodes, spec.max_nodes, spec.procs_per_node) == ("digits", 2, 2, 4)
    assert (spec.resources.cpus, spec.resources.gpus, spec.resources.gpu_kinds) == (8, 2, ("K80",))
    assert (spec.resources.memory_mib, spec.max_duration_s, spec.queue) == (16 * 1024, 26 * 3600, "night")
    assert spec.argv[:3] == ("/bin/bash", "-l", "-c") and "python train.py" in spec.argv[3]
    assert str(request.workdir) == "."


def test_options_win_and_the_file_gives_the_name() -> None:
    request = parse_job("#!/bin/sh\necho hi\n", name="jobs/my run.sh", overrides=[("--num-nodes", "3")])
    assert (request.spec.name, request.spec.min_nodes) == ("my-run", 3)


@pytest.mark.parametrize(
    ("line", "nodes", "per_node", "cpus"),
    [
        ("-n 4", 4, 0, 0),
        ("-n 8 --ntasks-per-node=4", 2, 4, 0),
        ("-N 2 -n 8 -c 3", 2, 4, 12),
        ("-N2 -n2", 2, 0, 0),
        ("-N 2-4", 2, 0, 0),
    ],
)
def test_tasks_become_ranks(line: str, nodes: int, per_node: int, cpus: int) -> None:
    spec = parse_job(f"#!/bin/sh\n#SBATCH {line}\ntrue\n", name="x.sh").spec
    assert (spec.min_nodes, spec.procs_per_node, spec.resources.cpus) == (nodes, per_node, cpus)


@pytest.mark.parametrize(
    ("time", "seconds"), [("30", 1800), ("30:15", 1815), ("2:00:00", 7200), ("1-12", 129600), ("1-00:30", 88200)]
)
def test_times_are_slurm_s(time: str, seconds: float) -> None:
    assert parse_job(f"#!/bin/sh\n#SBATCH -t {time}\ntrue\n", name="x.sh").spec.max_duration_s == seconds


def test_memory_counts_in_megabytes() -> None:
    assert parse_job("#!/bin/sh\n#SBATCH --mem=4096\ntrue\n", name="x.sh").spec.resources.memory_mib == pytest.approx(
        4096 * 10**6 / 2**20, abs=200
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("#!/bin/sh\n#SBATCH --licenses=a\n", "x.sh:2:9: '--licenses' is not taken from Slurm's options"),
        ("#!/bin/sh\n\n#SBATCH -t soon\n", "x.sh:3:9: --time 'soon' is not a time"),
        ("#!/bin/sh\n#SBATCH -N 2 -n 3\n", "x.sh:2:9: 3 tasks do not spread evenly over 2 nodes"),
        ("#!/usr/bin/python3\nprint()\n", "x.sh:1:1: '#!/usr/bin/python3' is no shell"),
        ("#!/bin/sh\n#SBATCH --nodes\n", "x.sh:2:9: --nodes wants a value"),
        ("#!/bin/sh\n#SBATCH --contiguous\n", "x.sh:2:9: '--contiguous' is not taken from Slurm's options"),
        ("#!/bin/sh\n#SBATCH -n 0\n", "x.sh:2:9: --ntasks '0' is not a whole number"),
        ("#!/bin/sh\n#SBATCH --gres=lustre:1\n", "x.sh:2:9: --gres 'lustre:1' is no gpu"),
        ("#!/bin/sh\n#SBATCH -N many\n", "x.sh:2:9"),
    ],
)
def test_complaints_name_the_line(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_job(text, name="x.sh")
    assert complaint in str(refused.value)


def test_srun_in_it_is_the_command_itself() -> None:
    script = "#!/bin/sh\nsrun -n 4 --mpi=pmix --ntasks 2 echo one two\nsrun sh -c 'exit 3'\n"
    argv = parse_job(script, name="x.sh").spec.argv
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("one two\n", 3)

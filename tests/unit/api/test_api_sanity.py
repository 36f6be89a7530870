"""Requests made by hand meet the limits that job files have by their grammar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from beowulf.api.sanity import check
from beowulf.model.errors import BadInput
from beowulf.model.job import Burst, JobSpec, Mount, Resources, Tree

SPEC = JobSpec("hello", "echo hi", outputs=("results/", "a/*.pt"), envs={"A": "b=c"})
TREE = Tree("d" * 64, 1, 1, "here")


def test_ordinary_jobs_pass() -> None:
    check(SPEC, ())
    check(replace(SPEC, max_nodes=8, mounts=(Mount("data", TREE), Mount("~/set", TREE), Mount(".", TREE))), (1, 5))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"min_nodes": 0}, "spec.min_nodes"),
        ({"min_nodes": 3}, "spec.min_nodes"),
        ({"procs_per_node": 10**9}, "spec.procs_per_node"),
        ({"resources": Resources(gpus=-1)}, "spec.resources"),
        ({"max_duration_s": float("nan")}, "spec"),
        ({"burst": Burst(budget_usd=float("nan"))}, "spec"),
        ({"burst": Burst(deadline_s=float("inf"))}, "spec"),
        ({"burst": Burst(max_price_usd=-1.0)}, "spec"),
        ({"burst": Burst(results_mib=10**400)}, "spec.resources"),
        ({"name": "a\nb"}, "spec.name"),
        ({"name": ""}, "spec.name"),
        ({"argv": ("a\0b",)}, "spec.script"),
        ({"envs": {"A=B": "c"}}, "spec.envs"),
        ({"outputs": ("../../etc",)}, "spec.outputs"),
        ({"outputs": ("/etc",)}, "spec.outputs"),
        ({"mounts": (Mount("~/.ssh/authorized_keys", TREE),)}, "spec.mounts"),
        ({"mounts": (Mount("a/../../b", TREE),)}, "spec.mounts"),
    ],
)
def test_what_no_file_can_say_is_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as error:
        check(replace(SPEC, **changes), ())
    assert error.value.where == where


@pytest.mark.parametrize("array", [(-1,), (1, 1), tuple(range(100_001))])
def test_arrays_have_limits(array: tuple[int, ...]) -> None:
    with pytest.raises(BadInput):
        check(SPEC, array)

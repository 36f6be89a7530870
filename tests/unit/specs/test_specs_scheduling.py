"""The settings file's section ``scheduler``."""

from __future__ import annotations

import pytest

from beowulf.model.errors import BadInput
from beowulf.model.rules import Maintenance, Project, Quota, Rules, ServiceClass, Weights
from beowulf.specs.job import parse_job
from beowulf.specs.settings import parse_settings

WHOLE = """\
scheduler:
  policy: conservative
  reservations: 5
  weights: {age: 2, fair_share: 0, size: 1.5, service_class: 3}
  age_full: 2d
  half_life: 1d
  estimates: false
  shares: {alice: 2}
  projects: {vision: {share: 3, users: [alice, bob]}, open: {}}
  classes:
    urgent: {weight: 1, preempts: batch}
    batch: {grace: 10m}
  quotas:
    - {user: "*", accelerator: RTX3090, gpus: 4}
    - {queue: night, jobs: 0}
    - {project: vision, cpus: 8}
  maintenance:
    - {nodes: "n[1-2]", from: 1970-01-02T01:00+01:00, for: 1h, reason: new fans}
"""


def test_the_whole_section() -> None:
    assert parse_settings(WHOLE, name="settings.yaml").rules == Rules(
        policy="conservative",
        depth=5,
        weights=Weights(2, 0, 1.5, 3),
        age_full_s=172800,
        half_life_s=86400,
        shares={"alice": 2},
        projects={"vision": Project(3, ("alice", "bob")), "open": Project()},
        classes={"urgent": ServiceClass(1, ("batch",)), "batch": ServiceClass(grace_s=600)},
        quotas=(Quota("*", gpu_kind="RTX3090", gpus=4), Quota(queue="night", jobs=0), Quota(project="vision", cpus=8)),
        maintenance=(Maintenance(("n1", "n2"), 86400, 90000, "new fans"),),
        estimate=False,
    )


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("policy: slurm", "2:11: scheduler.policy 'slurm' is not known (conservative, easy, fair, fifo, short)"),
        ("classes: {a: {preempts: b}}", "scheduler.classes.a preempts 'b', which is no class here"),
        ("classes: {a: {preempts: a}}", "scheduler.classes.a preempts itself"),
        ("half_life: 10m", "scheduler.half_life must be at least an hour"),
        ("quotas: [{user: u}]", "a quota limits nothing: add gpus, cpus or jobs"),
        ("quotas: [{accelerator: K80, jobs: 1}]", "a quota's accelerator needs gpus: how many of them"),
        ("maintenance: [{nodes: n1, for: 1h}]", "a maintenance needs from"),
        ("maintenance: [{nodes: n1, from: soon, for: 1h}]", "'soon' is not a moment"),
        ("weights: {age: 0}", "is not between 0.001 and 1e+06"),
    ],
)
def test_complaints(section: str, said: str) -> None:
    with pytest.raises(BadInput) as told:
        parse_settings(f"scheduler:\n  {section}\n", name="settings.yaml")
    assert said in str(told.value)


def test_a_job_may_name_its_class() -> None:
    request = parse_job("run: x\nservice_class: batch\n", name="j.yaml", overrides=[("--service-class", "urgent")])
    assert request.spec.service_class == "urgent"

"""The settings in docs/cloud.md are settings whose providers take their options; the rest are parts of job files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beowulf.cloud import registry
from beowulf.specs.job import parse_job
from beowulf.specs.settings import parse_settings

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "cloud.md").read_text()
FOUND = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
BLOCKS = [block for block in FOUND if "clouds:" in block]
FILES = sorted((Path(__file__).resolve().parents[3] / "nodes" / "clouds").glob("*.yaml"))
PARTS = [block for block in FOUND if "clouds:" not in block]


def test_every_provider_has_a_sample_and_a_file() -> None:
    found = {cloud.provider for block in BLOCKS for cloud in parse_settings(block, name="docs").renting.clouds}
    assert found == {file.stem for file in FILES} == set(registry.PROVIDERS)


@pytest.mark.parametrize("block", [*BLOCKS, *(file.read_text() for file in FILES)])
def test_samples_are_taken(block: str) -> None:
    renting = parse_settings(block, name="docs/cloud.md").renting
    assert renting.caps.month_usd > 0
    for cloud in renting.clouds:
        assert registry.build(cloud, "cafe").name == cloud.name


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.splitlines()[0].strip(" :"))
def test_parts_of_job_files_are_taken(part: str) -> None:
    assert parse_job(f"name: x\nrun: hostname\n{part}", name="docs/cloud.md").spec.burst.policy == "auto"

"""The settings that docs/cloud.md gives are settings, and each cloud's provider takes its options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beowulf.cloud import registry
from beowulf.specs.settings import parse_settings

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "cloud.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_every_provider_has_a_sample() -> None:
    found = {cloud.provider for block in BLOCKS for cloud in parse_settings(block, name="docs").renting.clouds}
    assert found == set(registry.PROVIDERS)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[1].strip(" :"))
def test_samples_are_taken(block: str) -> None:
    renting = parse_settings(block, name="docs/cloud.md").renting
    assert renting.caps.month_usd > 0
    for cloud in renting.clouds:
        assert registry.build(cloud, "cafe").name == cloud.name

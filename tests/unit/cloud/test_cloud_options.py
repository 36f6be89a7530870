"""Options of clouds are refused when the head starts, not when the first machine is rented."""

from __future__ import annotations

from pathlib import Path

import pytest

from beowulf.daemon.home import Home
from beowulf.daemon.service import read_settings
from beowulf.model.errors import BadInput

AZURE = "subscription: s, resource_group: g, identity: i"


@pytest.mark.parametrize(
    ("cloud", "why"),
    [
        ("aws: {options: {secruity_group: sg-1}, regions: [r]}", "cloud aws: option 'secruity_group' is not known"),
        ("aws: {options: {address: outside}, regions: [r]}", "address is 'outside', not public or private"),
        ("aws: {options: {disk_gib: 100 GB}, regions: [r]}", "disk_gib is '100 GB', which is no positive number"),
        ("aws: {image: ami-1}", "name at least one region"),
        ("gcp: {options: {limit_hours: -2}, regions: [r]}", "limit_hours is '-2'"),
        ("azure: {network: net/hosts, options: {subscription: s}}", "option 'resource_group' is missing"),
        (f"azure: {{network: hosts, options: {{{AZURE}}}}}", "network is 'hosts', not VNET/SUBNET"),
        ("hpc: {provider: slurm, options: {limit_hours: 0.1}}", "less than a quarter of an hour"),
    ],
)
def test_what_a_provider_cannot_take_is_refused(cloud: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f"clouds:\n  {cloud}\nburst: {{budget: {{month: 1}}}}\n")
    with pytest.raises(BadInput, match=why) as caught:
        read_settings(Home(tmp_path))
    assert caught.value.exit_code == 2

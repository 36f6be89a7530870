"""The settings file's sections ``clouds`` and ``burst``."""

from __future__ import annotations

import pytest

from beowulf.model.errors import BadInput
from beowulf.model.renting import Caps, Cloud, Renting
from beowulf.specs.settings import parse_settings

WHOLE = """\
clouds:
  aws: {regions: [us-east-1, us-east-2], image: ami-1, options: {security_group: sg-1}}
  paris: {provider: gcp, regions: r, network: net, endpoint: "http://127.0.0.1:8080", user: me, template: a.yaml}
burst:
  budget: {month: 50, user: 20, project: 30, job: 5, users: {ada: 40}, projects: {vision: 45}}
  lease: 10m
  idle_release: 5m
  ready_timeout: 20m
  grace: 30s
  list_every: 1m
  keep_warm: 1
  machines: 4
  stale_after: 30d
"""


def renting(text: str) -> Renting:
    return parse_settings(text, name="settings.yaml").renting


def test_the_whole_of_both() -> None:
    assert renting(WHOLE) == Renting(
        lease_s=600.0,
        idle_release_s=300.0,
        ready_timeout_s=1200.0,
        grace_s=30.0,
        list_every_s=60.0,
        keep_warm=1,
        machines=4,
        stale_after_s=30 * 86400.0,
        caps=Caps(50.0, 20.0, 30.0, 5.0, {"ada": 40.0}, {"vision": 45.0}),
        clouds=(
            Cloud("aws", "aws", ("us-east-1", "us-east-2"), image="ami-1", options={"security_group": "sg-1"}),
            Cloud("paris", "gcp", ("r",), "net", "", "me", "http://127.0.0.1:8080", "a.yaml"),
        ),
    )


def test_without_them_nothing_can_be_rented() -> None:
    assert renting("heartbeat_s: 5s\n") == Renting()
    assert Renting().caps.month_usd == 0.0 and not Renting().clouds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("clouds: {aws: {}}\n", "machines may only be rented within a budget"),
        ("clouds: {mars: {}}\nburst: {budget: {month: 1}}\n", "clouds.mars needs 'provider'"),
        (
            "clouds: {aws: {provider: mars}}\nburst: {budget: {month: 1}}\n",
            "settings.yaml:1:26: clouds.aws.provider 'mars' is not known",
        ),
        ("burst: {lease: 5s}\n", "burst.lease must be at least 60 seconds"),
        ("burst: {stale_after: 1h}\n", "burst.stale_after must be at least a day"),
        ("burst: {budget: {month: -1}}\n", "burst.budget.month"),
        ("burst: {budget: {month: lots}}\n", "burst.budget.month"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        renting(text)
    assert complaint in str(refused.value)

"""The pure parts of renting: what a list proves, what a cap allows, what a template lets through."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.burst import collector, keeping, ledger, replies, report
from beowulf.burst.user_data import NAMES, Values, user_data
from beowulf.model import errors
from beowulf.model.cloud import Instance, InstanceState, Machine, MachineState, Market, Offer
from beowulf.model.errors import BadInput
from beowulf.model.renting import Caps

NOW = 1_800_000_000.0
OFFER = Offer("sim", "r", "a", "big", 2, 4096, hourly_usd=3.6, egress_usd_per_gb=0.1, as_of="2027-01-10")
GB = 10**9
LIVE = [state for state in MachineState if state is not MachineState.GONE]
NAMED = [state for state in LIVE if state is not MachineState.INTENDED]


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Machine]:
    made = {}
    for number in range(1, draw(st.integers(1, 6)) + 1):
        state = draw(st.sampled_from(LIVE))
        begun = NOW - draw(st.floats(0, 5000))
        named = state in NAMED
        cost = draw(st.floats(0.01, 3.0))
        made[f"sim-{number}"] = Machine(
            f"sim-{number}",
            number,
            f"t-{number}",
            OFFER,
            Market.ON_DEMAND,
            draw(st.sampled_from(["1", "2", ""])),
            "",
            begun,
            120.0,
            state=state,
            instance_id=f"i-{number}" if named else "",
            created_at=begun if named else 0.0,
            owner=draw(st.sampled_from(["ada", "bob"])),
            project="lab",
            max_hourly_usd=3.6 * cost,
            lease_until=begun + draw(st.floats(0, 9000)),
            home_bytes=draw(st.integers(0, 20 * GB)) if named else 0,
            home_most_bytes=draw(st.integers(0, 20 * GB)),
        )
    return made


instances = st.lists(
    st.builds(
        Instance,
        instance_id=st.sampled_from([f"i-{number}" for number in range(1, 9)]),
        machine_id=st.sampled_from(["sim-1", "sim-2", ""]),
        token=st.sampled_from([f"t-{number}" for number in range(1, 9)]),
        state=st.sampled_from(list(InstanceState)),
    ),
    max_size=8,
    unique_by=lambda one: one.instance_id,
)
times = st.floats(NOW - 6000, NOW)


@given(machines(), instances, times, st.dictionaries(st.sampled_from(["sim-1", "sim-2", "sim-3"]), times))
def test_a_list_proves_no_more_than_it_shows(
    known: dict[str, Machine], listed: list[Instance], began: float, missing: dict[str, float]
) -> None:
    calls = {"sim-1": math.inf}
    look = collector.Look(began, NOW, listed, missing, calls, ["sim-2"])
    findings = collector.judge(known, look, 45.0)
    unwanted = {one.instance.instance_id for one in findings if isinstance(one, collector.Unwanted)}
    named = {one.machine: one.instance for one in findings if isinstance(one, collector.Named)}
    seen = [one.machine for one in findings if isinstance(one, collector.Seen)]
    assert len(seen) == len(set(seen))
    parts = {one.instance_id: one.token for one in listed if one.state is InstanceState.PART}
    assert not unwanted - set(parts) & {one.instance_id for one in known.values()}
    assert unwanted & set(parts) == {
        name for name, token in parts.items() if token not in {one.token for one in known.values()}
    }
    assert not set(parts) & {instance.instance_id for instance in named.values()}
    assert all(known[name].token == instance.token for name, instance in named.items())
    assert not unwanted & {instance.instance_id for instance in named.values()}
    shown_gone = {one.instance_id for one in listed if one.state is InstanceState.GONE}
    for over in (one for one in findings if isinstance(one, collector.Over)):
        machine = known[over.machine]
        instance_id = machine.instance_id or named[over.machine].instance_id if over.machine in named else ""
        if (machine.instance_id or instance_id) in shown_gone:
            continue
        assert machine.state is not MachineState.INTENDED and machine.id != "sim-1" and machine.id != "sim-2"
        assert began - max(machine.intended_at, machine.created_at) >= 45.0
        assert over.until <= machine.lease_until


@given(machines(), st.floats(0.1, 50.0), st.floats(0.1, 50.0))
def test_what_a_cap_allows_is_within_it_at_the_worst(known: dict[str, Machine], month: float, each: float) -> None:
    caps = Caps(month_usd=month, user_usd=each)
    machine = keeping.renewed(next(iter(known.values())), NOW)
    others = [one for one in known.values() if one.id != machine.id]
    said = ledger.over_budget(machine, others, None, caps, NOW)
    begin = ledger.month_of(NOW)
    worst = sum(ledger.worst_usd(one, begin) for one in [*others, machine])
    own = sum(ledger.worst_usd(one, begin) for one in [*others, machine] if one.owner == machine.owner)
    assert bool(said) == (worst > month + 1e-9 or own > each + 1e-9)
    assert machine.lease_until >= NOW + machine.lease_s


@given(machines(), st.floats(0, 40 * 86400.0))
def test_months_add_up_to_the_whole_bill(known: dict[str, Machine], later: float) -> None:
    now = NOW + later
    whole = sum(ledger.cost_usd(one, now) + ledger.egress_usd(one) for one in known.values())
    begin = ledger.month_of(NOW - 6000)
    months = [begin]
    while months[-1] < now:
        months.append(ledger.month_of(months[-1] + 32 * 86400.0))
    billed = [one for one in known.values() if one.created_at]
    for by in report.BY:
        lines = [line for start, end in pairwise(months) for line in report.report(billed, start, end, now, by)]
        assert sum(line.cost_usd for line in lines) == pytest.approx(whole)


def test_the_way_home_is_kept_back_before_and_counted_after() -> None:
    """10 GB foretold at 0.10 dollars each; 4 came so far, and 12 in the end."""
    machine = Machine(
        "sim-1", 1, "t", OFFER, Market.ON_DEMAND, "1", "", NOW, 120.0, MachineState.READY, created_at=NOW,
        lease_until=NOW + 1000.0, home_most_bytes=10 * GB, max_hourly_usd=3.6,
    )  # fmt: skip
    under_way = replace(machine, home_bytes=4 * GB)
    assert ledger.worst_usd(machine) == ledger.worst_usd(under_way) == pytest.approx(1.0 + 1.0)
    gone = replace(machine, state=MachineState.GONE, gone_at=NOW + 500.0, cost_usd=0.5, home_bytes=12 * GB)
    assert ledger.worst_usd(gone) == pytest.approx(0.5 + 1.2)
    [line] = report.report([gone], NOW - 10.0, NOW + 2000.0, NOW + 2000.0, "job")
    assert (line.cost_usd, line.egress_usd, line.foretold_usd) == pytest.approx((1.7, 1.2, 1.0))
    little = Caps(month_usd=1e6, job_usd=1.9)
    assert "the budget of job 1 is $1.90" in ledger.over_budget(machine, [], None, little, NOW)


def test_only_what_says_that_nothing_was_launched_closes_an_attempt() -> None:
    kinds = [errors.NoCapacity, errors.QuotaReached, errors.TokenSpent, errors.LaunchRefused, errors.Unclear]
    for kind in kinds:
        assert replies.on_create(kind("no"), True) is not replies.Next.CLOSE
    assert replies.on_create(errors.CloudError("who knows"), False) is replies.Next.AGAIN
    assert {kind for kind in kinds if replies.on_create(kind("no"), False) is replies.Next.CLOSE} == {
        errors.NoCapacity,
        errors.QuotaReached,
        errors.LaunchRefused,
    }


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_delays_grow_to_a_minute_and_a_half_at_the_most(tries: int, chance: float) -> None:
    assert 0.5 <= replies.delay_s(tries, chance) <= 90.0


VALUES = Values(
    "lab", "aws-1", "beowulf", "/home/beowulf", "900", "-----BEGIN\nKEY\n", "ssh-ed25519 A", "ssh-ed25519 B"
)


def test_a_template_is_filled_in() -> None:
    text = "key: {{host_key_private}}\nfile: {{lease_file}}\n{% raw %} ${shell} {{{{\n"
    filled = user_data(text, VALUES).splitlines()
    assert filled[0] == "key: " + json.dumps("-----BEGIN\nKEY\n")
    assert filled[1] == "file: /home/beowulf/.beowulf/lab/aws-1/lease"
    assert filled[2] == "{% raw %} ${shell} {{{{"
    assert "lease_file" in NAMES


@pytest.mark.parametrize("cluster", ["a b", "$(reboot)", "a\nb", "", "a;b", "'"])
def test_a_value_that_a_shell_would_read_is_refused(cluster: str) -> None:
    values = Values(cluster, "aws-1", "beowulf", "/home/beowulf", "900", "k", "k", "k")
    with pytest.raises(BadInput, match="no plain word"):
        user_data("{{cluster}}", values)
    with pytest.raises(BadInput, match="is not known"):
        user_data("{{secret}}", VALUES)

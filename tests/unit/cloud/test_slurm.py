"""What squeue and sbatch say, as instances and errors; tests/cloud/test_slurm_site.py has a real Slurm."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.agent import pilot
from beowulf.cloud.commands import Ran
from beowulf.cloud.provider import InstanceState, LaunchRequest
from beowulf.cloud.slurm import Slurm, batch
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import BadInput, CloudError, LaunchRefused, NoCapacity, QuotaReached, Unclear
from beowulf.model.renting import Cloud

USER_DATA = "#cloud-config\nssh_keys:\n  ed25519_private: |\n    -----BEGIN\n    it's '''quoted'''\n"
REQUEST = LaunchRequest(
    token="t",
    machine_id="slurm-1",
    cluster="cafe",
    offer=Offer("slurm", "", "", "gpu", cpus=8, memory_mib=32768, accelerator="A100", accelerators=2),
    market=Market.ON_DEMAND,
    user_data=USER_DATA,
    authorized_key="ssh-ed25519 AAAA",
    lease_s=900,
    max_hourly_usd=0.0,
)


def site(ran: Ran, calls: list[Sequence[str]] | None = None) -> Slurm:
    def run(argv: Sequence[str], stdin: str) -> Ran:
        if calls is not None:
            calls.append(argv)
        return ran

    return Slurm(Cloud("slurm", "slurm", options={"login": "me@login:22"}), "cafe", run)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("sbatch: error: invalid partition specified: x", LaunchRefused),
        ("Batch job submission failed: Invalid account or account/partition combination specified", LaunchRefused),
        ("Batch job submission failed: Requested node configuration is not available", NoCapacity),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", QuotaReached),
        (
            "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or "
            "time limits)",
            QuotaReached,
        ),
        ("Batch job submission failed: Socket timed out on send/recv operation", Unclear),
        ("Batch job submission failed: Unable to contact slurm controller (connect failure)", Unclear),
        ("", Unclear),
    ],
)
def test_words_of_sbatch(said: str, kind: type[CloudError]) -> None:
    with pytest.raises(CloudError) as caught:
        site(Ran(1, "", said)).create(REQUEST)
    assert type(caught.value) is kind


def test_what_is_asked_for() -> None:
    calls: list[Sequence[str]] = []
    with pytest.raises(CloudError):
        site(Ran(1, "", "no"), calls).create(REQUEST)
    (argv,) = calls
    wanted = {"--job-name=beowulf:cafe:slurm-1:t", "--cpus-per-task=8", "--mem=32768M", "--gres=gpu:2", "--time=240"}
    wanted |= {"--signal=B:USR1@180"}
    assert wanted <= set(argv) and "--partition=gpu" in argv and "--no-requeue" in argv


def test_the_pilots_order_is_a_literal() -> None:
    """Whatever the keys hold, the batch script stays a program."""
    text = batch(REQUEST)
    order = ast.literal_eval(re.search(r"^sys\.exit\(main\((.*)\)\)$", text, re.MULTILINE)[1])  # type: ignore[index]
    assert order["host_key"] == "-----BEGIN\nit's '''quoted'''\n"
    program = text.split("<<'END_OF_PILOT'\n")[1].split("\nEND_OF_PILOT\n")[0]
    compile(program, "pilot", "exec")
    assert text.count("END_OF_PILOT") == 2


def test_a_cloud_config_without_a_host_key_is_refused() -> None:
    with pytest.raises(LaunchRefused, match="ed25519_private"):
        batch(LaunchRequest(**{**{name: getattr(REQUEST, name) for name in REQUEST.__slots__}, "user_data": "{}"}))


def test_lines_of_squeue() -> None:
    out = (
        "Welcome to the cluster!\n"
        "beowulf|7|RUNNING|1700000000|alice|beowulf:cafe:slurm-1:t|10.0.0.5:4021\n"
        "beowulf|8|PENDING|1700000001|alice|beowulf:cafe:slurm-2:u|(null)\n"
        "beowulf|9|PREEMPTED|1700000002|alice|beowulf:cafe:slurm-3:v|10.0.0.6:1\n"
        "beowulf|10|RUNNING|1700000002|alice|beowulf:beef:slurm-3:v|\n"
        "beowulf|11|RUNNING|1700000002|alice|mine|\n"
    )
    first, second, third = site(Ran(0, out, "")).list()
    assert (first.address, first.port, first.user, first.launched_at) == ("10.0.0.5", 4021, "alice", 1700000000.0)
    assert (first.machine_id, first.token, first.proxy_jump) == ("slurm-1", "t", "me@login:22")
    assert (second.state, second.address, second.port) == (InstanceState.PENDING, "", 22)
    assert third.state is InstanceState.GONE


@given(st.text(alphabet=st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_no_job_of_another_name_is_ours(name: str) -> None:
    out = f"beowulf|11|RUNNING|1700000002|alice|x{name}|\n"
    assert site(Ran(0, out, "")).list() == []


def test_a_queue_that_does_not_answer_is_not_an_empty_one() -> None:
    with pytest.raises(Unclear, match="slurm_load_jobs error"):
        site(Ran(1, "", "slurm_load_jobs error: Unable to contact slurm controller")).list()
    with pytest.raises(LaunchRefused):
        site(Ran(0, "", "")).destroy("--me")


@pytest.mark.parametrize(
    "options", [{"logn": "me@login"}, {"limit_hours": "four"}, {"limit_hours": "-1"}, {"limit_hours": "0.1"}]
)
def test_options_are_checked(options: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=r"cloud mine: .*(logn|limit_hours)"):
        Slurm(Cloud("mine", "slurm", options=options), "cafe")


@pytest.mark.parametrize("word", ["nan", "inf", "1e999"])
def test_no_word_of_a_job_lets_a_pilot_live_for_ever(tmp_path: Path, word: str) -> None:
    lease = pilot.Lease(str(tmp_path / "lease"), 0.0)
    (tmp_path / "lease").write_text(f"{pilot.own_boot_id()} {word}\n")
    assert lease.ended()


def test_a_pilot_does_not_wait_for_whoever_holds_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lease")
    assert pilot.Lease(str(tmp_path / "lease"), 0.0).ended()

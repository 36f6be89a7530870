"""What doctor says of sick nodes: each finding names the node, the trouble and the command that mends it."""

from dataclasses import replace
from typing import Any

import pytest

from beowulf.model.node import Endpoint, Facts, FileSystem, Gpu, Interface, Node, NodeState
from beowulf.probe import Finding, LinkProblem, Severity, compare, doctor
from beowulf.probe.connection import LINK_PROBLEMS
from beowulf.probe.trouble import TROUBLES, complaint

WELL = Facts(
    hostname="n1",
    machine_id="m1",
    boot_id="b1",
    arch="x86_64",
    glibc="2.36",
    instruction_sets=("avx", "avx2"),
    file_systems=(FileSystem("/home/ann", 90_000, 100_000, "ext4"), FileSystem("/tmp", 90_000, 100_000, "ext4")),
    interfaces=(Interface("eth0", ("10.0.0.1",), 1000), Interface("lo", ("127.0.0.1",))),
    route_interface="eth0",
    pythons=("3.11.2 /usr/bin/python3",),
)


def node(name: str = "n1", **facts: Any) -> Node:
    return Node(name, Endpoint("10.0.0.1", user="ann"), 1, state=NodeState.UP, facts=replace(WELL, **facts))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    assert "{" not in findings[0].mend.replace("{venv", "").replace("${BEOWULF", "").replace("{system_mpi", "")
    return findings[0]


def test_a_healthy_node_gets_no_word() -> None:
    assert doctor(node()) == []
    assert compare([node("n1"), node("n2", boot_id="b2")]) == []


@pytest.mark.parametrize("kind", sorted(LINK_PROBLEMS))
def test_every_kind_of_link_problem_has_its_cure(kind: str) -> None:
    finding = only(doctor(replace(node(), facts=Facts()), LinkProblem(kind, "SHA256:abc, was SHA256:def")))
    assert finding.severity is Severity.ERROR and finding.node == "n1" and finding.mend
    assert "10.0.0.1" in finding.what


def test_link_problems_name_the_command() -> None:
    bare = replace(node(), facts=Facts())
    assert "ssh-copy-id" in only(doctor(bare, LinkProblem("auth_refused"))).mend
    changed = only(doctor(bare, LinkProblem("host_key_changed", "SHA256:abc, was SHA256:def")))
    assert "SHA256:abc" in changed.why and changed.mend.endswith("beowulf nodes rekey n1")
    assert "ssh -v -p 22 ann@10.0.0.1" in only(doctor(bare, LinkProblem("strange", "odd"))).mend


@pytest.mark.parametrize(
    ("facts", "severity", "what"),
    [
        ({"clock_skew_s": 3600.0}, "warning", "its clock is 3600.0 s ahead of the head's"),
        ({"clock_skew_s": -2.5}, "warning", "its clock is 2.5 s behind the head's"),
        ({"glibc": "2.12"}, "error", "glibc 2.12 is older than 2.17"),
        ({"glibc": "2.17"}, "warning", "glibc 2.17 is older than 2.28"),
        ({"glibc": "musl 1.2.4"}, "warning", "its C library is musl 1.2.4"),
        ({"instruction_sets": ("sse4_2",)}, "warning", "the processor has no AVX"),
        ({"instruction_sets": ("avx", "sse4_2")}, "note", "the processor has no AVX2"),
        ({"pythons": ()}, "error", "no Python 3.6 or newer was found"),
        ({"logind_kills": True}, "warning", "logind ends a user's processes at logout (KillUserProcesses=yes)"),
        (
            {"file_systems": (FileSystem("/home", 0, 0, "nfs4", False, "/home hangs: its server does not answer"),)},
            "error",
            "/home hangs: its server does not answer",
        ),
        ({"file_systems": (FileSystem("/home", 100, 9000, "ext4"),)}, "warning", "/home has 100 MiB free of 9000"),
        (
            {"file_systems": (FileSystem("/home", 99999, 99999, "ext4", True, "/home is mounted noexec"),)},
            "error",
            "/home is mounted noexec",
        ),
        (
            {"interfaces": (Interface("docker0", ("172.17.0.1",)),), "route_interface": "docker0"},
            "error",
            "the kernel routes to the peers by docker0",
        ),
        (
            {"interfaces": (Interface("eth0", ("10.0.0.1",), 1000), Interface("ib0", ("10.9.0.1",), 40000))},
            "warning",
            "peers are reached by eth0 (1000 Mbit/s), not by ib0 (40000 Mbit/s)",
        ),
        ({"interfaces": (Interface("eth0", ("10.0.0.1",), 100),)}, "warning", "the link eth0 runs at 100 Mbit/s"),
    ],
)
def test_facts_that_hurt(facts: dict[str, Any], severity: str, what: str) -> None:
    finding = only(doctor(node(**facts)))
    assert (finding.severity.value, finding.what) == (severity, what)
    assert finding.why and finding.mend


@pytest.mark.parametrize("topic", sorted(TROUBLES))
def test_every_complaint_a_probe_can_make_has_its_cure(topic: str) -> None:
    finding = only(doctor(node(complaints=(complaint(topic, "seen"),))))
    assert finding.what == f"{topic}: seen" and finding.mend and "{" not in finding.mend


def test_a_sick_gpu_is_told_once() -> None:
    sick = Gpu(
        0, "K80", "nvidia", "Tesla K80", 11441, healthy=False, complaint=complaint("GPU lost", "GPU 0 answers ERR!")
    )
    assert only(doctor(node(gpus=(sick, sick)))).what == "GPU lost: GPU 0 answers ERR!"


def test_worst_first_and_both_link_and_facts() -> None:
    found = doctor(node(instruction_sets=("avx", "sse4_2"), glibc="2.12"), LinkProblem("lost", "no answer for 6 s"))
    assert [finding.severity.value for finding in found] == ["error", "error", "note"]


def test_down_and_drained() -> None:
    down = replace(node(), state=NodeState.DOWN, reason="missed three heartbeats", drained=True, draining_reason="fan")
    assert [finding.what for finding in doctor(down)] == ["it is down: missed three heartbeats", "it is drained: fan"]


def test_between_nodes() -> None:
    nodes = [node("n1", mpi="Open MPI 4.1.4"), node("n2", mpi="Open MPI 4.1.4"), node("n3", mpi="Open MPI 1.10.7")]
    apart = [replace(one, facts=replace(one.facts, boot_id=one.id)) for one in nodes]
    assert [(finding.node, finding.what) for finding in compare(apart)] == [
        ("n3", "it has Open MPI 1.10.7, most others have Open MPI 4.1.4")
    ]
    assert [finding.what for finding in compare([node("n1"), node("n2")])] == ["it is a part of the same machine as n1"]
    clocks = [node("n1", clock_skew_s=-1.5), node("n2", clock_skew_s=1.5, boot_id="b2")]
    assert only(compare(clocks)).what == "its clock is 3.0 s ahead of n1's"

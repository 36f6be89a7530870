"""One machine under several names: exactly one of them stands for it, whoever has jobs there."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from beowulf.model.node import Endpoint, Facts, Node, NodeState
from beowulf.probe import compare, doctor, second_names


def node(number: int, machine: str = "b1", **changes: object) -> Node:
    facts = Facts(boot_id=machine, processes="pid:[1]", machine_id="m1")
    value = Node(f"n{number}", Endpoint(f"10.0.0.{number}"), number, state=NodeState.UP, facts=facts)
    return replace(value, **changes)  # type: ignore[arg-type]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], frozenset[str]]:
    nodes = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        rented = draw(st.booleans())
        same_as = "" if rented else draw(st.sampled_from(("", "n1")))  # a rented one is never refused
        machine, state = draw(st.sampled_from(("b1", "b2", ""))), draw(st.sampled_from(tuple(NodeState)))
        nodes.append(node(number, machine, state=state, same_as=same_as, rented=rented))
    return nodes, draw(st.frozensets(st.sampled_from([one.id for one in nodes])))


@given(clusters())
def test_each_machine_has_one_name_of_ours(cluster: tuple[list[Node], frozenset[str]]) -> None:
    nodes, busy = cluster
    refused = second_names(nodes, busy)
    for machine in {one.machine for one in nodes} - {""}:
        here = [one for one in nodes if one.machine == machine and (one.state is not NodeState.DOWN or one.id in busy)]
        left = [one for one in here if one.id not in refused]
        assert len(left) >= min(len(here), 1)
        assert sum(not one.rented for one in left) <= (0 if any(one.rented for one in here) else 1)
        assert all(refused[one.id] in {first.id for first in left} for one in here if one.id in refused)
    assert all(one.machine for one in nodes if one.id in refused)


@given(clusters())
def test_who_was_accepted_stays_so(cluster: tuple[list[Node], frozenset[str]]) -> None:
    nodes, busy = cluster
    refused = second_names(nodes, busy)
    after = [replace(one, same_as=refused.get(one.id, "")) for one in nodes]
    assert second_names(after, busy) == refused


def test_the_first_name_goes_on_and_work_goes_before_age() -> None:
    assert second_names([node(1), node(2)], ()) == {"n2": "n1"}
    assert second_names([node(1), node(2)], ("n2",)) == {"n1": "n2"}
    assert second_names([node(1, same_as="n2"), node(2)], ()) == {"n1": "n2"}
    assert second_names([node(1, state=NodeState.DOWN), node(2)], ()) == {}
    assert second_names([node(1, state=NodeState.DOWN), node(2)], ("n1",)) == {"n2": "n1"}
    assert second_names([node(1, state=NodeState.UNKNOWN), node(2)], ()) == {"n2": "n1"}


def test_containers_of_one_kernel_are_nodes_of_their_own() -> None:
    first, other = node(1), node(2)
    other = replace(other, facts=replace(other.facts, processes="pid:[2]"))
    assert second_names([first, other], ()) == {}
    assert [finding.what for finding in compare([first, other])] == ["it is a part of the same machine as n1"]


def test_the_doctor_says_which_name_to_remove() -> None:
    worst = doctor(node(2, same_as="n1"))[0]
    assert (worst.severity.value, worst.what) == ("error", "it is the same machine as n1, which goes on")
    assert worst.mend == "beowulf nodes remove n2"

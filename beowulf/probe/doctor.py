"""What is wrong with a node or between nodes, why it matters, and the command that mends it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from beowulf.model.node import Facts, Node, NodeState, same_machine
from beowulf.probe.connection import link_finding
from beowulf.probe.disks import NETWORK_KINDS
from beowulf.probe.finding import Finding, LinkProblem, Severity
from beowulf.probe.trouble import trouble

MAX_SKEW_S = 2.0
LOW_DISK_MIB = 5 * 1024  # a PyTorch environment for CPUs takes about 2 GiB, with CUDA 5
LOW_TMP_MIB = 512
SLOW_LINK_MBIT = 1000
VIRTUAL_LINKS = ("docker", "br-", "virbr", "veth", "cni", "flannel", "lxc", "podman", "vmnet")
WHEEL_GLIBC = (2, 28)
OLD_WHEEL_GLIBC = (2, 17)

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def doctor(node: Node, problem: LinkProblem | None = None) -> list[Finding]:
    """Worst first; empty when all is well. ``problem``: why there is no link now, if there is none.

    What was seen before the link went is judged as well: it may be what took the node away.
    """
    found = [link_finding(node, problem)] if problem else _standing(node)
    if node.facts != Facts():
        found += [finding for check in CHECKS for finding in check(node)]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def compare(nodes: Iterable[Node]) -> list[Finding]:
    """What is wrong only between nodes: unequal MPIs, clocks apart, one home shared by several."""
    known = [node for node in nodes if node.facts != Facts()]
    return [*_unequal_mpi(known), *_clocks_apart(known), *_containers(known)]


def _standing(node: Node) -> list[Finding]:
    found = []
    if node.state is NodeState.DOWN:
        found.append(
            _finding(
                node,
                ERROR,
                f"it is down: {node.reason or 'no answer'}",
                "no job starts here",
                "beowulf nodes show {node}",
            )
        )
    if node.same_as:
        said = same_machine(node.id, node.same_as).partition(":")[0]
        why = "its processors and memory would be given out twice: no job starts here"
        found.append(_finding(node, ERROR, said, why, "beowulf nodes remove {node}"))
    if node.drained:
        reason = node.draining_reason or "no reason given"
        found.append(
            _finding(node, NOTE, f"it is drained: {reason}", "no new job starts here", "beowulf nodes resume {node}")
        )
    return found


def _python(node: Node) -> Iterator[Finding]:
    if not node.facts.pythons and not node.facts.agent_python:
        yield _finding(
            node,
            ERROR,
            "no Python 3.6 or newer was found",
            "the agent and every job's environment need one",
            "beowulf ssh {node} -- sudo apt install python3",
        )


def _clock(node: Node) -> Iterator[Finding]:
    skew_s = node.facts.clock_skew_s
    if abs(skew_s) > MAX_SKEW_S:
        ahead = "ahead of" if skew_s > 0 else "behind"
        yield _finding(
            node,
            WARNING,
            f"its clock is {abs(skew_s):.1f} s {ahead} the head's",
            "file times lie: make, caches and checkpoints by date go wrong (our own leases do not)",
            "beowulf ssh {node} -- sudo timedatectl set-ntp true, or: sudo chronyc makestep",
        )


def _route(node: Node) -> Iterator[Finding]:
    facts = node.facts
    chosen = next((one for one in facts.interfaces if one.name == facts.route_interface), None)
    if not facts.route_interface or chosen is None:
        return
    mend = "add the node by the right interface's address: beowulf nodes remove {node}; beowulf nodes add USER@ADDRESS"
    if chosen.name.startswith(VIRTUAL_LINKS):
        why = "that is a bridge of containers or virtual machines: peers on other machines cannot reach it"
        yield _finding(node, ERROR, f"the kernel routes to the peers by {chosen.name}", why, mend)
    faster = [
        one for one in facts.interfaces if one.up and one.addresses and one.speed_mbit > max(chosen.speed_mbit, 1)
    ]
    faster = [one for one in faster if not one.name.startswith((*VIRTUAL_LINKS, "lo"))]
    if chosen.speed_mbit and faster:
        best = max(faster, key=lambda one: one.speed_mbit)
        slow, fast = (f"{one.name} ({one.speed_mbit} Mbit/s)" for one in (chosen, best))
        what = f"peers are reached by {slow}, not by {fast}"
        yield _finding(
            node,
            WARNING,
            what,
            "gradients would travel over the slower wire",
            mend.replace("ADDRESS", best.addresses[0]),
        )
    elif 0 < chosen.speed_mbit < SLOW_LINK_MBIT:
        yield _finding(
            node,
            WARNING,
            f"the link {chosen.name} runs at {chosen.speed_mbit} Mbit/s",
            "a gigabit card that falls back so far usually has a bad cable or port",
            f"change the cable; then: beowulf ssh {{node}} -- sudo ethtool {chosen.name}",
        )


def _disks(node: Node) -> Iterator[Finding]:
    for disk in node.facts.file_systems:
        temporary = disk.path == "/tmp"
        if not disk.healthy:
            network = disk.kind in NETWORK_KINDS
            mend = (
                "mount | grep nfs; sudo umount -l MOUNT; sudo mount MOUNT" if network else "df -h; mount; dmesg | tail"
            )
            severity = WARNING if temporary else ERROR
            yield _finding(
                node, severity, disk.complaint, "jobs would hang or fail there", f"beowulf ssh {{node}} -- '{mend}'"
            )
            continue
        if disk.complaint:  # healthy, with a but: noexec
            why = "programs and libraries of an environment there cannot be run"
            yield _finding(
                node,
                ERROR if not temporary else NOTE,
                disk.complaint,
                why,
                f"beowulf ssh {{node}} -- sudo mount -o remount,exec {disk.path}",
            )
        if disk.free_mib < (LOW_TMP_MIB if temporary else LOW_DISK_MIB):
            what = f"{disk.path} has {disk.free_mib} MiB free of {disk.total_mib}"
            mend = f"beowulf ssh {{node}} -- 'du -xsh {disk.path}/* ~/.beowulf/*/*/envs | sort -h | tail'"
            yield _finding(node, WARNING, what, "environments and outputs may not fit", mend)


def _libc(node: Node) -> Iterator[Finding]:
    text = node.facts.glibc
    mend = "use env: {{venv: PATH}} with one built there, or upgrade the system of {node}"
    if text.startswith("musl"):
        yield _finding(
            node,
            WARNING,
            f"its C library is {text}",
            "wheels on PyPI for Linux want glibc; torch has none for musl",
            mend,
        )
        return
    version = _version(text)
    if version and version < OLD_WHEEL_GLIBC:
        yield _finding(node, ERROR, f"glibc {text} is older than 2.17", "no wheel of today runs with it", mend)
    elif version and version < WHEEL_GLIBC:
        why = "wheels marked manylinux_2_28 (torch 2.6 and newer, numpy 2.3 and newer) do not install"
        yield _finding(
            node,
            WARNING,
            f"glibc {text} is older than 2.28",
            why,
            "pin older ones in requirements (torch<2.6, numpy<2.3); " + mend,
        )


def _instructions(node: Node) -> Iterator[Finding]:
    facts = node.facts
    if facts.arch not in {"x86_64", "amd64"} or not facts.instruction_sets:
        return
    if "avx" not in facts.instruction_sets:
        why = "TensorFlow and many wheels stop with 'Illegal instruction'; torch runs, slowly"
        yield _finding(
            node,
            WARNING,
            "the processor has no AVX",
            why,
            "exclude it from jobs that need it (exclude: [{node}]), or build such packages there",
        )
    elif "avx2" not in facts.instruction_sets:
        why = "some wheels stop with 'Illegal instruction', matrix products run at half speed"
        yield _finding(
            node, NOTE, "the processor has no AVX2", why, "exclude it from jobs that need it: exclude: [{node}]"
        )


def _complaints(node: Node) -> Iterator[Finding]:
    spoken = (*node.facts.complaints, *(gpu.complaint for gpu in node.facts.gpus if gpu.complaint))
    for sentence in dict.fromkeys(spoken):
        known = trouble(sentence)
        yield _finding(node, known.severity, sentence, known.why, known.mend)


def _logind(node: Node) -> Iterator[Finding]:
    if node.facts.logind_kills:
        yield _finding(
            node,
            WARNING,
            "logind ends a user's processes at logout (KillUserProcesses=yes)",
            "when the link to the head breaks, the jobs here die with it",
            "beowulf ssh {node} -- 'sudo mkdir -p /etc/systemd/logind.conf.d && "
            'printf "[Login]\\nKillUserProcesses=no\\n" | '
            "sudo tee /etc/systemd/logind.conf.d/beowulf.conf && sudo systemctl restart systemd-logind'",
        )


CHECKS: tuple[Callable[[Node], Iterator[Finding]], ...] = (
    _python,
    _disks,
    _complaints,
    _route,
    _clock,
    _libc,
    _instructions,
    _logind,
)


def _unequal_mpi(nodes: list[Node]) -> Iterator[Finding]:
    by_version: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if node.facts.mpi:
            by_version[node.facts.mpi].append(node.id)
    if len(by_version) < 2:
        return
    usual = max(sorted(by_version), key=lambda version: len(by_version[version]))
    why = "mpirun cannot start daemons of another version; only jobs with env: {system_mpi: true} are concerned"
    for version in sorted(by_version):
        for node_id in by_version[version] if version != usual else ():
            what = f"it has {version}, most others have {usual}"
            yield Finding(
                node_id, NOTE, what, why, "leave system_mpi out: the job's environment then brings one MPI for all"
            )


def _clocks_apart(nodes: list[Node]) -> Iterator[Finding]:
    ordered = sorted(nodes, key=lambda node: node.facts.clock_skew_s)
    if len(ordered) < 2:
        return
    first, last = ordered[0], ordered[-1]
    apart_s = last.facts.clock_skew_s - first.facts.clock_skew_s
    if apart_s > MAX_SKEW_S and max(abs(node.facts.clock_skew_s) for node in (first, last)) <= MAX_SKEW_S:
        what = f"its clock is {apart_s:.1f} s ahead of {first.id}'s"
        yield _finding(
            last,
            NOTE,
            what,
            "times in logs of one gang do not line up",
            "beowulf ssh {node} -- sudo timedatectl set-ntp true",
        )


def _containers(nodes: list[Node]) -> Iterator[Finding]:
    """Parts of one machine, each with processes of its own: nobody but its owner knows whether they overlap."""
    by_kernel: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in nodes:
        if node.facts.boot_id and not node.same_as:
            by_kernel[node.facts.boot_id, node.facts.machine_id].append(node)
    for same in by_kernel.values():
        for node in same[1:]:
            what = f"it is a part of the same machine as {same[0].id}"
            why = "processors and memory that both may use are counted twice"
            mend = "give each container processors and memory of its own, or: beowulf nodes remove {node}"
            yield _finding(node, NOTE, what, why, mend)


def _finding(node: Node, severity: Severity, what: str, why: str, mend: str) -> Finding:
    return Finding(node.id, severity, what, why, mend.replace("{node}", node.id).replace("{{", "{").replace("}}", "}"))


def _version(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None

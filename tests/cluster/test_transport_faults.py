"""F21 and its relatives: servers that stall, drop or are out of date; jump hosts; bulk; discovery; one-shot checks."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chaos_proxy import ChaosProxy, Mood
from transport_sshd import QUICK, Ground, Sshd, Watcher, echo, wait_until

from beowulf.model.errors import BadInput
from beowulf.model.node import Endpoint
from beowulf.transport import (
    KeyRing,
    LinkDown,
    LinkFailed,
    LinkUp,
    ProblemKind,
    Received,
    check,
    discover,
    fingerprint,
    generate_key,
    scan_host_key,
)

pytestmark = pytest.mark.cluster


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.close()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def proxy(ground: Ground, server: Sshd, mood: Mood = Mood.PASS) -> tuple[ChaosProxy, Endpoint]:
    made = ChaosProxy((server.host, server.port), mood)
    ground.closing.append(made.close)
    return made, replace(server.endpoint, host="127.0.0.1", port=made.port)


def test_hosts_that_stall_or_drop_do_not_delay_the_others(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    # Far more stalling hosts than slots, all before the good one, which would have to wait for ever.
    fleet = ground.fleet(watcher, slots=2, stalled_slots=1, banner_s=3600.0)
    moods = {"stall": Mood.STALL, "drop": Mood.DROP}
    ends = {name: proxy(ground, server, mood)[1] for name, mood in moods.items()}
    for name, endpoint in ends.items():
        for number in range(20):
            fleet.connect(f"{name}{number}", endpoint, server.host_key, 1)
    fleet.connect("good", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp, "good")
    assert watcher.wait_for(LinkDown, "drop0").kind is ProblemKind.DROPPED
    ground.fleet(watcher, banner_s=0.5).connect("other", ends["stall"], server.host_key, 1)
    assert watcher.wait_for(LinkDown, "other").kind is ProblemKind.TIMEOUT_BANNER


def test_a_handshake_that_stalls_ends_in_time_and_mends(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher, slots=1, handshake_s=5.0)
    chaos, endpoint = proxy(ground, server, Mood.STALL_AFTER_BANNER)
    fleet.connect("n1", endpoint, server.host_key, 1)
    assert watcher.wait_for(LinkDown).kind is ProblemKind.TIMEOUT_BANNER
    chaos.mood = Mood.PASS
    watcher.wait_for(LinkUp)


def test_a_silent_network_is_noticed_by_heartbeats_and_nothing_late_is_delivered(
    ground: Ground, watcher: Watcher
) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher, heartbeat_s=0.5)
    chaos, endpoint = proxy(ground, server)
    fleet.connect("n1", endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    chaos.mood = Mood.DEAF
    fleet.send("n1", echo(1))
    down = watcher.wait_for(LinkDown)
    assert down.kind is ProblemKind.LOST
    chaos.mood = Mood.PASS
    up = watcher.wait_for(LinkUp, after=watcher.events.index(down))
    between = watcher.events[watcher.events.index(down) + 1 : watcher.events.index(up)]
    assert not [event for event in between if isinstance(event, Received)]


def test_a_cut_connection_comes_back(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    chaos, endpoint = proxy(ground, server)
    fleet.connect("n1", endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    chaos.cut()
    down = watcher.wait_for(LinkDown)
    watcher.wait_for(LinkUp, after=watcher.events.index(down))


def test_a_jump_host_is_gone_through_when_its_key_is_known(ground: Ground, watcher: Watcher) -> None:
    jump = ground.sshd("jump")
    server = ground.sshd("behind", host="127.0.0.3")
    endpoint = replace(server.endpoint, proxy_jump=f"{jump.host}:{jump.port}")
    fleet = ground.fleet(watcher)
    fleet.connect("n1", endpoint, server.host_key, 1)
    down = watcher.wait_for(LinkDown)
    assert down.kind is ProblemKind.HOST_KEY_UNKNOWN and str(jump.port) in down.reason
    (ground.home / ".ssh" / "known_hosts").write_text(f"[{jump.host}]:{jump.port} {jump.host_key}\n")
    fleet.connect("n1", endpoint, server.host_key, 1)
    fleet.connect("n2", endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp, "n1")
    watcher.wait_for(LinkUp, "n2")
    wait_until(lambda: len(jump.children()) == 1)  # both nodes go through one connection
    fleet.send("n1", echo(3), b"y" * 200_000)
    assert watcher.wait_for(Received).payload == b"y" * 200_000
    channel = fleet.bulk("n1", ["cat"])
    channel.write(b"through")
    channel.close_write()
    assert channel.read(100) == b"through" and channel.wait() == 0
    channel.close()
    assert check(endpoint, server.host_key, ground.keys, ssh=ground.ssh.current(), settings=QUICK) is None


def test_bulk_carries_bytes_both_ways_with_exit_code_and_stderr(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    fleet.connect("head", Endpoint("localhost", local=True), "", 1)
    data = os.urandom(1 << 20) * 24  # beyond every window
    for node in ("n1", "head"):
        watcher.wait_for(LinkUp, node)
        channel = fleet.bulk(node, ["sh", "-c", "cat; echo 'it is \"done\"' >&2; exit 7"])
        got = hashlib.sha256()

        def take() -> None:
            while piece := channel.read(1 << 18):  # noqa: B023
                got.update(piece)  # noqa: B023

        reader = threading.Thread(target=take)
        reader.start()
        channel.write(data)
        channel.close_write()
        reader.join()
        assert channel.wait() == 7
        assert channel.stderr == 'it is "done"'
        assert got.hexdigest() == hashlib.sha256(data).hexdigest()
        channel.close()


def test_bulk_to_a_command_that_ends_early(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    fleet.connect("head", Endpoint("localhost", local=True), "", 1)
    for node in ("n1", "head"):
        watcher.wait_for(LinkUp, node)
        channel = fleet.bulk(node, ["sh", "-c", "echo no room >&2; exit 9"])
        with pytest.raises(BrokenPipeError):
            for _ in range(10_000):
                channel.write(b"x" * 100_000)
        assert channel.wait() == 9 and channel.stderr == "no room"
        channel.close()


def test_bulk_needs_more_connections_where_sessions_are_few(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd(settings="MaxSessions 1")
    fleet = ground.fleet(watcher, bulk_idle_s=0.2)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    channels = [fleet.bulk("n1", ["cat"]) for _ in range(3)]
    wait_until(lambda: len(server.children()) == 4)
    for number, channel in enumerate(channels):
        channel.write(b"%d" % number)
        channel.close_write()
        assert channel.read(10) == b"%d" % number
        assert channel.wait() == 0
        channel.close()
    wait_until(lambda: len(server.children()) == 1)


def test_bulk_breaks_with_the_connection(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    channel = fleet.bulk("n1", ["cat"])
    threading.Timer(0.2, server.kill_children).start()
    with pytest.raises(LinkFailed) as caught:
        channel.read(10)
    assert caught.value.problem.kind is ProblemKind.LOST
    channel.close()


def test_scan_shows_what_ssh_keygen_shows(ground: Ground) -> None:
    server = ground.sshd()
    host_key, shown = scan_host_key(server.endpoint, ssh=ground.ssh.current(), settings=QUICK)
    assert host_key == server.host_key
    (ground.folder / "key.pub").write_text(host_key + "\n")
    said = subprocess.run(["ssh-keygen", "-lf", str(ground.folder / "key.pub")], capture_output=True, text=True)
    assert said.stdout.split()[1] == shown == fingerprint(host_key)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("KexAlgorithms diffie-hellman-group14-sha1", "diffie-hellman-group14-sha1"),
        ("HostKeyAlgorithms ssh-rsa", "ssh-rsa"),
    ],
)
def test_an_old_sshd_is_told_from_other_troubles(ground: Ground, settings: str, words: str) -> None:
    server = ground.sshd(settings=settings)
    if "ssh-rsa" in settings:
        server.stop()
        server.new_host_key("rsa")
        server.start()
    with pytest.raises(LinkFailed) as caught:
        scan_host_key(server.endpoint, ssh=ground.ssh.current(), settings=QUICK)
    problem = caught.value.problem
    assert problem.kind is ProblemKind.OLD_SSHD and words in problem.sentence and "sshd_config" in problem.hint
    found = check(server.endpoint, server.host_key, ground.keys, ssh=ground.ssh.current(), settings=QUICK)
    assert found == problem


def test_check_tells_what_is_wrong(ground: Ground) -> None:
    server = ground.sshd()
    ssh = ground.ssh.current()
    stranger = KeyRing(ground.folder / "stranger", home=ground.home, use_agent=False)
    generate_key(ground.folder / "stranger")

    def kind(
        endpoint: Endpoint, host_key: str = server.host_key, keys: KeyRing = ground.keys, **changes: float
    ) -> ProblemKind | None:
        problem = check(endpoint, host_key, keys, ssh=ssh, settings=replace(QUICK, **changes))  # type: ignore[arg-type]
        return problem.kind if problem else None

    assert kind(server.endpoint) is None
    assert kind(server.endpoint, "") is ProblemKind.HOST_KEY_UNKNOWN
    assert kind(server.endpoint, keys=stranger) is ProblemKind.AUTH_REFUSED
    assert kind(replace(server.endpoint, port=1)) is ProblemKind.UNREACHABLE
    assert kind(proxy(ground, server, Mood.STALL)[1], banner_s=1.0) is ProblemKind.TIMEOUT_BANNER
    assert kind(proxy(ground, server, Mood.DROP)[1]) is ProblemKind.DROPPED
    server.stop()
    assert kind(server.endpoint) is ProblemKind.UNREACHABLE


def test_discovery_over_a_small_network(ground: Ground) -> None:
    first = ground.sshd("first", host="127.0.0.4")
    second = ground.sshd("second", host="127.0.0.5")
    (ground.home / ".ssh" / "known_hosts").write_text(f"[{second.host}]:{second.port} {second.host_key}\n")
    found = discover(["127.0.0.0/28"], ground.keys, ports=[first.port], ssh=ground.ssh, known=True)
    assert [(c.host, c.port) for c in found] == [(first.host, first.port), (second.host, second.port)]
    assert found[0].banner.startswith("SSH-2.0-OpenSSH")
    assert found[0].host_key == first.host_key and found[0].fingerprint == fingerprint(first.host_key)
    assert found[0].opens_with == str(ground.key) and found[0].user == first.endpoint.user and not found[0].problem
    (ground.folder / "authorized_keys").write_text("")
    closed = discover([f"127.0.0.4:{first.port}", "127.0.0.9:1"], ground.keys, ssh=ground.ssh)
    assert closed[0].opens_with == "" and "none of our" in closed[0].problem
    assert "refused" in closed[1].problem, "a host that was named is listed though nobody answers"


def test_discovery_refuses_what_is_too_large(ground: Ground) -> None:
    with pytest.raises(BadInput, match="65536"):
        discover(["10.0.0.0/8"], ground.keys, ssh=ground.ssh)

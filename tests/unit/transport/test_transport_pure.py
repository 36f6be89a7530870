"""The parts of the transport that touch no network."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.agent import wire
from beowulf.model.errors import BadInput
from beowulf.model.node import Endpoint
from beowulf.transport import keys
from beowulf.transport.config import Hop, SettingsFolder, SshSettings, parse_address
from beowulf.transport.dial import ssh_line
from beowulf.transport.frames import FrameReader, first_frame
from beowulf.transport.keys import KeyRing, fingerprint, generate_key, host_key_algorithms, public_line
from beowulf.transport.networks import expand
from beowulf.transport.offer import nothing_in_common
from beowulf.transport.pipes import ChunkPipe, FeedPipe
from beowulf.transport.problem import LinkFailed, ProblemKind
from beowulf.transport.settings import LinkSettings, delay_before_retry
from beowulf.transport.sockets import PushSocket


def test_an_ssh_agent_that_never_answers_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forwarded one, of a laptop that sleeps: every handshake asks it."""
    monkeypatch.setattr(keys, "AGENT_S", 0.05)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    generate_key(tmp_path / "id")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "agent"))
        silent.listen(1)
        choice = KeyRing(tmp_path / "id", home=tmp_path).choose()
    assert [key.name for key in choice.keys] == [str(tmp_path / "id")]


def home_with(folder: Path, **files: str) -> Path:
    (folder / ".ssh").mkdir()
    for name, text in files.items():
        (folder / ".ssh" / name).write_text(text)
    return folder


def test_the_config_names_host_port_user_and_jump(tmp_path: Path) -> None:
    home = home_with(
        tmp_path,
        config=(
            "Include more\n"
            "Host n1\n  HostName 10.0.0.1\n  Port 2201\n  User ann\n  ProxyJump bob@gate:2200\n  IdentityFile /k/one\n"
            "Host gate\n  HostName gate.example.org\n  ProxyJump none\n"
            "Host deep\n  ProxyJump n1\n"
            "Host round\n  ProxyJump round\n"
            "Host odd\n  ProxyCommand nc %h %p\n"
        ),
        more="Host n2\n  HostName 10.0.0.2\n",
    )
    ssh = SshSettings(home, own_user="me")
    gate = Hop("gate.example.org", 2200, "bob")
    n1 = Hop("10.0.0.1", 2201, "ann", ("/k/one",))
    assert ssh.route(Endpoint("n1")) == (gate, n1)
    assert ssh.route(Endpoint("deep")) == (gate, n1, Hop("deep", 22, "me"))
    assert ssh.route(Endpoint("n2")) == (Hop("10.0.0.2", 22, "me"),)
    own = Endpoint("n1", port=9, user="eve", proxy_jump="none", identity_file="/k/two")
    assert ssh.route(own) == (Hop("10.0.0.1", 9, "eve", ("/k/two", "/k/one")),)
    two_jumps = ssh.route(Endpoint("n2", proxy_jump="gate,x@[::1]:7"))
    assert [str(hop) for hop in two_jumps] == ["me@gate.example.org:22", "x@::1:7", "me@10.0.0.2:22"]
    for name in ("round", "odd"):
        with pytest.raises(LinkFailed) as caught:
            ssh.route(Endpoint(name))
        assert caught.value.problem.kind is ProblemKind.BAD_SETTINGS


def test_settings_are_read_again_when_they_change(tmp_path: Path) -> None:
    folder = SettingsFolder(home_with(tmp_path), own_user="me")
    assert folder.current() is folder.current()
    (tmp_path / ".ssh" / "config").write_text("Host a\n  Port 99\n")
    assert folder.current().route(Endpoint("a"))[0].port == 99
    (tmp_path / ".ssh" / "config").write_text("?")
    os.utime(tmp_path / ".ssh" / "config", (1, 1))
    with pytest.raises(LinkFailed):
        folder.current()


def test_known_hosts_by_name_port_and_hash(tmp_path: Path) -> None:
    home = home_with(tmp_path)
    key = " ".join(generate_key(tmp_path / "host").split()[:2])
    known = home / ".ssh" / "known_hosts"
    known.write_text(f"plain,10.0.0.7 {key}\n[other]:2222 {key}\nhidden {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    hashed = SshSettings(home, own_user="me")
    assert hashed.known_keys("plain", 22) == hashed.known_keys("other", 2222) == (key,)
    assert hashed.known_keys("other", 22) == ()
    assert hashed.known_addresses() == ()
    known.write_text(f"plain {key}\n[other]:2222 {key}\n")
    assert SshSettings(home, own_user="me").known_addresses() == (("plain", 22), ("other", 2222))


@pytest.mark.parametrize("text", ["", "a@", "h:0", "h:70000", "h:x", "[::1]:y"])
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_address(text)


def test_a_generated_key_is_private_stable_and_what_openssh_reads(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    line = generate_key(path, "beowulf lab")
    assert path.stat().st_mode & 0o777 == 0o600
    assert generate_key(path, "beowulf lab") == line
    said = subprocess.run(["ssh-keygen", "-yf", str(path)], capture_output=True, text=True, check=True).stdout
    assert said.split()[:2] == line.split()[:2] == public_line(path).split()
    shown = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] == fingerprint(line)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["id_ed25519", "id_ed25519.pub"]


def test_the_key_ring_keeps_order_and_says_what_it_skips(tmp_path: Path) -> None:
    home = home_with(tmp_path)
    generate_key(tmp_path / "cluster")
    generate_key(home / ".ssh" / "id_ed25519")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(home / ".ssh" / "locked")], check=True
    )
    (home / ".ssh" / "id_rsa").write_text("nonsense")
    ring = KeyRing(tmp_path / "cluster", home=home, use_agent=False)
    choice = ring.choose(["~/.ssh/locked", "/nowhere/key", "~/.ssh/id_ed25519"])
    assert [named.name for named in choice.keys] == [str(tmp_path / "cluster"), str(home / ".ssh" / "id_ed25519")]
    assert [
        word in text for word, text in zip(("password", "No such file", "not a usable"), choice.skipped, strict=True)
    ]
    assert "password" in choice.skipped[0] and "not a usable" in choice.skipped[2]


def test_rsa_host_keys_are_asked_for_with_sha2() -> None:
    assert host_key_algorithms("ssh-rsa AAAA") == ("rsa-sha2-512", "rsa-sha2-256")
    assert host_key_algorithms("ssh-ed25519 AAAA") == ("ssh-ed25519",)


@given(st.integers(1, 10_000), st.sampled_from(ProblemKind), st.floats(0, 1, exclude_max=True))
def test_delays_grow_to_their_cap_and_never_vanish(failures: int, kind: ProblemKind, luck: float) -> None:
    settings = LinkSettings()
    delay = delay_before_retry(settings, failures, kind, luck)
    assert settings.first_delay_s / 2 <= delay <= settings.longest_mending_delay_s
    assert delay_before_retry(settings, failures + 1, kind, luck) >= delay
    if kind is ProblemKind.UNREACHABLE:
        assert delay <= 30


def test_networks_expand() -> None:
    assert expand(["10.0.0.0/30", "10.0.0.2", "n1:2222"], [22]) == (
        ("10.0.0.1", 22),
        ("10.0.0.2", 22),
        ("n1", 2222),
    )
    assert expand(["10.0.0.254-10.0.1.1"], [22, 23])[-1] == ("10.0.1.1", 23)
    assert expand(["10.0.0.8-9", "[::1]:7", "fe80::1"], [22]) == (
        ("10.0.0.8", 22),
        ("10.0.0.9", 22),
        ("::1", 7),
        ("fe80::1", 22),
    )
    assert len(expand(["10.1.0.0/16"], [22])) == 65534


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/15",
        "::/64",
        "10.0.0.9-8",
        "10.0.0.0-10.2.0.0",
        "10.0.0.300-301",
        "a/b",
        "",
        "-x",
        "a b",
        "n1:",
        "n1:0",
        "n1:99999",
        "$(id)",
    ],
)
def test_bad_networks_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        expand([text], [22])


def test_two_large_networks_together_are_refused() -> None:
    with pytest.raises(BadInput):
        expand(["10.1.0.0/16", "10.2.0.0/16"], [22])


@given(st.integers(0, 2**32 - 1), st.integers(20, 32))
def test_a_network_is_its_hosts(number: int, bits: int) -> None:
    network = ipaddress.ip_network((number, bits), strict=False)
    assert [host for host, _ in expand([str(network)], [22])] == [str(host) for host in network.hosts()]


@given(st.text(max_size=300).map(str.encode), st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.data())
def test_frames_come_out_of_noise_in_whatever_pieces(noise: bytes, payloads: list[bytes], data: st.DataObject) -> None:
    noise = bytes(byte for byte in noise if byte >= 10)  # text of a login script
    stream = noise + b"".join(wire.encode({"type": "t", "n": n}, payload) for n, payload in enumerate(payloads))
    reader = FrameReader()
    got: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += [payload for _, payload in reader.feed(stream[:size])]
        stream = stream[size:]
    assert got == payloads


def test_a_program_that_only_prints_is_given_up() -> None:
    reader = FrameReader()
    assert first_frame(b"{}" * 100) == -1
    with pytest.raises(wire.WireError):
        for _ in range(100):
            list(reader.feed(b"y\n" * 1000))
    assert reader.noise().startswith("y\ny")


def test_the_banner_may_follow_other_lines() -> None:
    assert ssh_line(b"Hello\r\nSSH-2.0-OpenSSH_9.2\r\n") == "SSH-2.0-OpenSSH_9.2"
    assert ssh_line(b"SSH-2.0-Open") == ""


def test_an_old_offer_names_the_lists_and_the_cure() -> None:
    problem = nothing_in_common(
        "n1 port 22",
        {"kex_algo_list": ["diffie-hellman-group1-sha1"], "server_key_algo_list": ["ssh-ed25519"]},
        {
            "kex_algo_list": ["curve25519-sha256@libssh.org"],
            "server_key_algo_list": ["ssh-ed25519"],
            "server_encrypt_algo_list": [],
            "server_mac_algo_list": [],
        },
    ).problem
    assert problem.kind is ProblemKind.OLD_SSHD
    assert "diffie-hellman-group1-sha1" in problem.sentence and "ssh-ed25519" not in problem.sentence
    assert "KexAlgorithms +" in problem.hint


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.integers(1, 50))
def test_a_chunk_pipe_gives_back_what_it_was_fed(pieces: list[bytes], size: int) -> None:
    pipe = ChunkPipe()
    for piece in pieces:
        pipe.feed(piece)
    pipe.close()
    got = b""
    while piece := pipe.read(size):
        assert len(piece) <= size
        got += piece
    assert got == b"".join(pieces)


def test_a_feed_pipe_hands_on_and_counts() -> None:
    got: list[bytes] = []
    pipe = FeedPipe(got.append, lambda: got.append(b"end"))
    pipe.feed(b"abc")
    pipe.feed(b"de")
    assert pipe.unread == 5
    assert len(pipe.read(4)) == 4 and len(pipe.read(4)) == 1 and pipe.read(4) == b""
    pipe.close()
    assert got == [b"abc", b"de", b"end"]


class SlowEnd:
    """Takes so many bytes per call, as told."""

    def __init__(self, takes: list[int]) -> None:
        self.takes = takes
        self.got = b""

    def recv(self, size: int) -> bytes:
        return b""

    def send(self, data: bytes) -> int:
        raise AssertionError("a push socket never waits")

    def send_now(self, data: bytes) -> int:
        taken = min(self.takes.pop(0) if self.takes else len(data), len(data))
        self.got += data[:taken]
        return taken

    def shut(self) -> None: ...
    def close(self) -> None: ...


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10), st.lists(st.integers(0, 50), max_size=60))
def test_a_push_socket_takes_all_and_keeps_order(pieces: list[bytes], takes: list[int]) -> None:
    due = []
    end = SlowEnd(list(takes))
    sock = PushSocket(end, b"", lambda seconds, what: due.append(what))
    for piece in pieces:
        assert sock.send(piece) == len(piece)
    while due:
        due.pop(0)()
    assert end.got == b"".join(pieces)


def test_kinds_are_plain_words_for_programs() -> None:
    assert json.dumps([ProblemKind.AUTH_REFUSED]) == '["auth_refused"]'

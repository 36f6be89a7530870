"""Inventory and settings files."""

from __future__ import annotations

import pytest

from beowulf.model.errors import BadInput
from beowulf.model.node import Endpoint
from beowulf.specs.inventory import NodeEntry, parse_inventory
from beowulf.specs.settings import Quarantine, Settings, parse_settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJVn0gpTKiA0mcdUbfVrV"

LAB = f"""\
defaults: {{user: lab, port: 2222, tags: {{room: cellar}}, max_memory: 8GB}}
nodes:
  n[01-02]: {{host: "10.0.0.[1-2]", cores: 4}}
  gpu1:
    host: gpu1.lab
    port: 22
    proxy_jump: lab@gate:2022
    identity_file: ~/.ssh/lab
    host_key: {KEY} someone@somewhere
    groups: gpu
    tags: {{gpu: RTX3090}}
    site: attic
  bare:
  head: {{local: true, max_cpus: 2}}
groups: {{fast: "n[01-02],gpu1"}}
"""


def inventory(text: str) -> tuple[NodeEntry, ...]:
    return parse_inventory(text, name="lab.yaml")


def complaints(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        inventory(text)
    return str(caught.value).splitlines()


def test_an_inventory() -> None:
    cellar = {"room": "cellar"}
    assert inventory(LAB) == (
        NodeEntry("n01", Endpoint("10.0.0.1", 2222, "lab"), "", ("fast",), cellar, "lab", 4, 8192),
        NodeEntry("n02", Endpoint("10.0.0.2", 2222, "lab"), "", ("fast",), cellar, "lab", 4, 8192),
        NodeEntry(
            "gpu1",
            Endpoint("gpu1.lab", 22, "lab", "lab@gate:2022", "~/.ssh/lab"),
            KEY,
            ("fast", "gpu"),
            {"room": "cellar", "gpu": "RTX3090"},
            "attic",
            0,
            8192,
        ),
        NodeEntry("bare", Endpoint("bare", 2222, "lab"), "", (), cellar, "lab", 0, 8192),
        NodeEntry("head", Endpoint("localhost", local=True), "", (), cellar, "lab", 2, 8192),
    )


def test_who_may_share_a_gpu() -> None:
    nodes = "{a: {share_gpus: 4, share_between_users: true}, b: {share_gpus: false}, c: }"
    text = f"defaults: {{share_gpus: true}}\nnodes: {nodes}"
    assert [(one.share_gpus, one.share_between_users) for one in inventory(text)] == [
        (4, True),
        (1, False),
        (64, False),
    ]
    assert complaints("nodes: {a: {share_gpus: 0}}") == [
        "lab.yaml:1:25: nodes.a.share_gpus '0' is not between 1 and 64"
    ]


def test_complaints() -> None:
    text = """\
nodes:
  n[1-3]: {host: "10.0.0.[1-2]"}
  n2: {hots: x, port: 99999}
  -oX: {host: a}
  a b: {}
  head: {local: true, user: me}
  k: {host: "-oProxyCommand=id", proxy_jump: "$(id)", host_key: nonsense, user: "a b"}
groups: {gpu: n9}
burst: {}
"""
    assert complaints(text) == [
        "lab.yaml:2:18: host '10.0.0.[1-2]' is 2 addresses for 3 nodes",
        "lab.yaml:3:3: node 'n2' is listed twice (first in line 2)",
        "lab.yaml:3:8: key 'nodes.n2.hots' is not known; did you mean 'host'?",
        "lab.yaml:3:23: nodes.n2.port '99999' is not between 1 and 65535",
        "lab.yaml:4:3: nodes '-oX' holds '-oX', which is not a host name (letters, digits, '.', '_' and '-')",
        "lab.yaml:5:3: nodes 'a b' holds 'a b', which is not a host name (letters, digits, '.', '_' and '-')",
        "lab.yaml:6:29: user has no use with 'local: true', which goes without SSH",
        "lab.yaml:7:13: nodes.k.host '-oProxyCommand=id' is not an address or host name",
        "lab.yaml:7:46: nodes.k.proxy_jump '$(id)' is not a jump host (user@host:port, or none)",
        "lab.yaml:7:65: nodes.k.host_key 'nonsense' is not a host key (ssh-ed25519 AAAA…, as ssh-keyscan prints it"
        " after the host)",
        "lab.yaml:7:81: nodes.k.user 'a b' is not a user's name",
        "lab.yaml:8:9: groups.gpu names 'n9', which is not under nodes",
        "lab.yaml:9:1: key 'burst' is not known; known are: nodes, defaults, groups",
    ]


def test_one_key_is_not_for_many_machines() -> None:
    assert complaints(f"nodes: {{'n[1-2]': {{host: 'h[1-2]', host_key: {KEY}}}}}")[0].endswith(
        "host_key belongs to one machine: list it by itself"
    )


def test_an_inventory_lists_something() -> None:
    assert complaints("") == ["lab.yaml:1:1: lists no machine: add 'nodes: {n1: {host: ADDRESS}}'"]


def test_no_list_of_lists_makes_more_machines_than_allowed() -> None:
    text = "nodes:\n" + "".join(f"  r{i}n[1-9999]:\n" for i in range(2000))
    assert complaints(text) == ["lab.yaml:3:3: nodes names more than 10000 machines"]


def test_settings_default() -> None:
    assert parse_settings("", name="settings.yaml") == Settings()
    assert Settings().lease_s == 86400


def test_settings() -> None:
    text = "heartbeat_s: 1\nlease_s: 15m\nlog_cap: 10MB\nnode_fail_after_s: 3\nlost_after_s: 20m\n"
    text += "quarantine: {failures: 2, within_s: 1h}"
    assert parse_settings(text, name="settings.yaml") == Settings(1.0, 900.0, 3.0, 1200.0, 10, Quarantine(2, 3600.0))


def test_settings_say_how_long_what_jobs_left_is_kept() -> None:
    kept = parse_settings("keep_jobs: {age: 30-00:00:00, size: 100GB}", name="settings.yaml").keep_jobs
    assert (kept.max_age_s, kept.max_mib) == (30 * 86400.0, 100 * 1024)
    assert (Settings().keep_jobs.max_age_s, Settings().keep_jobs.max_mib) == (None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keep_jobs: {age: never}", "settings.yaml:1:18: keep_jobs.age 'never' is not a duration"),
        ("heartbeat_s: 0", "settings.yaml:1:14: heartbeat_s must be between 0.1 and 300 seconds"),
        ("lease_s: 5", "settings.yaml:1:10: lease_s must be at least six heartbeats (30 seconds)"),
        ("heartbeat: 5", "settings.yaml:1:1: key 'heartbeat' is not known; did you mean 'heartbeat_s'?"),
        ("quarantine: {within_s: soon}", "settings.yaml:1:24: quarantine.within_s 'soon' is not a duration"),
    ],
)
def test_settings_complaints(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_settings(text, name="settings.yaml")
    assert str(caught.value).startswith(said)

"""Inventory file (``nodes/lab.yaml``) → `NodeEntry` values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from beowulf.model.node import Endpoint, NodeId
from beowulf.specs import document as doc
from beowulf.specs import quantities, words
from beowulf.specs.complaints import Complaints, Place, Wrong, shown
from beowulf.specs.hosts import MAX_HOSTS, expand, host_names
from beowulf.specs.kinds import Fields, Key, MapOf, Record, Word, attempt


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One machine as the inventory describes it."""

    name: NodeId
    endpoint: Endpoint
    host_key: str = ""  # "ssh-ed25519 AAAA…", to be pinned; "": not given
    groups: tuple[str, ...] = ()  # sorted
    tags: Mapping[str, str] = field(default_factory=dict)
    site: str = "lab"
    max_cpus: int = 0  # 0: all
    max_memory_mib: int = 0
    share_gpus: int = 1  # so many jobs at most on one GPU
    share_between_users: bool = False


MOST_ON_ONE_GPU = 64


def _address(text: str) -> str:
    addresses = expand(quantities.line(text))
    for address in addresses:
        if not re.fullmatch(r"[A-Za-z0-9:][A-Za-z0-9._:%-]{0,254}", address):
            raise Wrong("is not an address or host name")
    return text


def _user(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}\$?", text):
        raise Wrong("is not a user's name")
    return text


def _proxy_jump(text: str) -> str:
    hop = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{1,5})?"
    if not re.fullmatch(f"{hop}(,{hop})*", text):
        raise Wrong("is not a jump host (user@host:port, or none)")
    return text


def _host_key(text: str) -> str:
    parts = text.split()
    kinds = r"ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+"
    if len(parts) < 2 or not re.fullmatch(kinds, parts[0]) or not re.fullmatch(r"[A-Za-z0-9+/]{16,}={0,2}", parts[1]):
        raise Wrong("is not a host key (ssh-ed25519 AAAA…, as ssh-keyscan prints it after the host)")
    return f"{parts[0]} {parts[1]}"


def _share_gpus(text: str) -> int:
    if text.lower() in ("true", "false"):
        return MOST_ON_ONE_GPU if text.lower() == "true" else 1
    return quantities.integer(1, MOST_ON_ONE_GPU)(text)


_SHARED = (
    Key("port", words.whole(1, 65_535), "SSH port.", "22"),
    Key("user", Word("a user's name", _user, words.TEXT), "User to log in as.", "as ~/.ssh/config says, or yours"),
    Key("proxy_jump", Word("user@host:port, or none", _proxy_jump, words.TEXT), "Host to go through.", "~/.ssh/config"),
    Key("identity_file", words.path, "Private key to log in with.", "the cluster's own key"),
    Key("groups", words.names, "Groups the machine belongs to."),
    Key("tags", MapOf(quantities.name, words.any_text, "{key: value}"), "Free notes, shown by `nodes show`."),
    Key(
        "max_cpus",
        words.whole(1, 65_536),
        "Hardware threads that jobs may use.",
        "all",
        also=("cores", "slots"),
    ),
    Key("max_memory", words.memory, "Memory that jobs may use.", "all"),
    Key(
        "share_gpus",
        Word(
            "true, false, or a number",
            _share_gpus,
            {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1, "maximum": MOST_ON_ONE_GPU}]},
        ),
        "Jobs that ask for a part of a GPU may share one: so many at most, or as many as its memory holds.",
        "false",
    ),
    Key("share_between_users", words.flag, "Also jobs of different users may share a GPU.", "false"),
    Key("site", words.name, "Where it stands.", "lab"),
)
NODE = Record(
    (
        Key("host", Word("an address; `10.0.0.[1-16]` for a host list", _address, words.TEXT), "Address.", "its name"),
        *_SHARED,
        Key(
            "host_key", Word("ssh-ed25519 AAAA…", _host_key, words.TEXT), "The machine's public host key, to be pinned."
        ),
        Key("local", words.flag, "This machine itself, without SSH.", "false"),
    ),
    "how to reach a machine and what it may be used for",
)
DEFAULTS = Record(_SHARED, "values for every machine that does not set them")


@dataclass(frozen=True)
class _Machines:
    """``nodes:`` — a mapping from host lists to `NODE` records."""

    words: str = "{n1: {host: 10.0.0.1}} or {n[01-16]: {host: 10.0.0.[1-16]}}"

    def read(self, node: doc.Node, path: str, to: Complaints) -> dict[str, tuple[Place, str, Fields]] | None:
        """``{name: (place, host, fields)}``"""
        if not isinstance(node, doc.Table):
            to.add(node.place, f"{path} must be a mapping: {self.words}")
            return None
        found: dict[str, tuple[Place, str, Fields]] = {}
        for entry in node.entries:
            names = attempt(host_names, entry.key, path, to)
            fields = NODE.read(entry.value, f"{path}.{entry.key.text}", to)
            if names is None or fields is None:
                continue
            if len(found) + len(names) > MAX_HOSTS:
                to.add(entry.key.place, f"{path} names more than {MAX_HOSTS} machines")
                break
            for name, host in zip(names, self._hosts(names, fields, entry, to), strict=True):
                if name in found:
                    to.add(entry.key.place, f"node {shown(name)} is listed twice (first in line {found[name][0].line})")
                else:
                    found[name] = (entry.key.place, host, fields)
        return found

    def _hosts(self, names: tuple[str, ...], fields: Fields, entry: doc.Entry, to: Complaints) -> tuple[str, ...]:
        pattern: str = fields.get("host", "")
        if not pattern:
            return names
        hosts = expand(pattern)
        if len(hosts) != len(names):
            to.add(fields.at("host"), f"host {shown(pattern)} is {len(hosts)} addresses for {len(names)} nodes")
            return names
        if fields.get("host_key", "") and len(names) > 1:
            to.add(fields.at("host_key"), "host_key belongs to one machine: list it by itself")
        return hosts

    def schema(self) -> dict[str, object]:
        return {"type": "object", "additionalProperties": {"anyOf": [NODE.schema(), {"type": "null"}]}}


INVENTORY = Record(
    (
        Key("nodes", _Machines(), "The machines: a name or host list, and how to reach it."),
        Key("defaults", DEFAULTS, "Values for every machine that does not set them."),
        Key("groups", MapOf(quantities.name, words.host_list, "{gpu: n[1-4]}", most=256), "Groups and their machines."),
    )
)


def parse_inventory(text: str, *, name: str) -> tuple[NodeEntry, ...]:
    """The machines in the order listed. Raises `BadInput` with one line per complaint, each ``file:line:col: …``."""
    complaints = Complaints()
    root = doc.read_document(text, name, complaints)
    complaints.raise_if_any()
    fields = INVENTORY.read(root, "", complaints) or Fields(root.place)
    if "nodes" not in fields.places:
        complaints.add(fields.place, "lists no machine: add 'nodes: {n1: {host: ADDRESS}}'")
    machines: dict[str, tuple[Place, str, Fields]] = fields.get("nodes", {})
    groups: dict[str, tuple[str, ...]] = fields.get("groups", {})
    for group, member in _strangers(groups, machines):
        complaints.add(fields.at("groups"), f"groups.{group} names {shown(member)}, which is not under nodes")
    for _, _, own in machines.values():
        _check_local(own, complaints)
    complaints.raise_if_any()
    defaults: Fields = fields.get("defaults", Fields(root.place))
    return tuple(_entry(node, host, own, defaults, groups) for node, (_, host, own) in machines.items())


def _strangers(groups: Mapping[str, tuple[str, ...]], machines: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for group, members in groups.items():
        yield from ((group, member) for member in members if member not in machines)


def _check_local(own: Fields, to: Complaints) -> None:
    if own.get("local", False):
        for key in ("host", "port", "user", "proxy_jump", "identity_file", "host_key"):
            if key in own.places:
                to.add(own.at(key), f"{key} has no use with 'local: true', which goes without SSH")


def _entry(name: str, host: str, own: Fields, defaults: Fields, groups: Mapping[str, tuple[str, ...]]) -> NodeEntry:
    values = {**defaults.values, **own.values}
    fields = Fields(own.place, values)
    local = own.get("local", False)
    named: tuple[str, ...] = fields.get("groups", ())
    tags: dict[str, str] = {**defaults.get("tags", {}), **own.get("tags", {})}
    endpoint = Endpoint(
        host=host,
        port=fields.get("port", 22),
        user=fields.get("user", ""),
        proxy_jump=fields.get("proxy_jump", ""),
        identity_file=fields.get("identity_file", ""),
    )
    return NodeEntry(
        name=name,
        endpoint=Endpoint("localhost", local=True) if local else endpoint,
        host_key=fields.get("host_key", ""),
        groups=tuple(sorted({*named, *(group for group, members in groups.items() if name in members)})),
        tags=tags,
        site=fields.get("site", "lab"),
        max_cpus=fields.get("max_cpus", 0),
        max_memory_mib=fields.get("max_memory", 0),
        share_gpus=fields.get("share_gpus", 1),
        share_between_users=fields.get("share_between_users", False),
    )

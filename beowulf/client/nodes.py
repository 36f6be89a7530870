"""Requests about machines: those of the lab, and rented ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from beowulf.client.exchange import Exchange, json_lines
from beowulf.client.paths import listed, node_path, plain, quoted
from beowulf.client.values import NodeWhole

if TYPE_CHECKING:  # importing it costs a command more than asking the head does
    from beowulf.model.node import Endpoint


class NodeRequests:
    """The part of `Client` that is about machines. Whoever changes them has to be an admin."""

    _exchange: Exchange

    def nodes(self) -> list[NodeWhole]:
        """By name."""
        return listed(self._exchange.json("GET", "/v1/nodes"), "nodes")

    def node(self, name: str) -> NodeWhole:
        return cast("NodeWhole", self._exchange.json("GET", node_path(name)))

    def add_node(self, name: str, endpoint: Endpoint | Mapping[str, Any], host_key: str = "", **settings: Any) -> str:
        """``settings``: groups, tags, site, max_cpus, max_memory_mib, share_gpus, share_between_users."""
        body = {"node": name, "endpoint": plain(endpoint), "host_key": host_key, **settings}
        return str(self._exchange.json("POST", "/v1/nodes", body=body)["node"])

    def remove_node(self, name: str) -> str:
        """→ its name."""
        self._exchange.json("DELETE", node_path(name))
        return name

    def drain(self, name: str, reason: str) -> None:
        self._exchange.json("POST", f"{node_path(name)}/drain", body={"reason": reason})

    def resume(self, name: str) -> None:
        self._exchange.json("POST", f"{node_path(name)}/resume")

    def rekey(self, name: str, host_key: str) -> None:
        self._exchange.json("POST", f"{node_path(name)}/rekey", body={"host_key": host_key})

    def ssh_command(self, name: str) -> list[str]:
        return [str(part) for part in self._exchange.json("GET", f"{node_path(name)}/ssh")["argv"]]

    def discover(
        self, networks: Sequence[str], *, ports: Sequence[int] = (22,), user: str = ""
    ) -> list[dict[str, Any]]:
        body = {"networks": list(networks), "ports": list(ports), "user": user}
        return listed(self._exchange.json("POST", "/v1/nodes/discover", body=body), "found")

    def bench(self, names: Sequence[str] = (), *, force: bool = False, peers: int = 8) -> Iterator[dict[str, Any]]:
        """Measures nodes, or all: ``{node, phase, text}`` per step, as it happens."""
        body = json.dumps({"nodes": list(names), "force": force, "peers": peers}).encode()
        return json_lines(self._exchange.pieces("POST", "/v1/nodes/bench", body=(body,)))

    def scan(self, endpoint: Endpoint | Mapping[str, Any]) -> dict[str, Any]:
        return self._exchange.json("POST", "/v1/nodes/scan", body={"endpoint": plain(endpoint)})

    # rented machines

    def machines(self, *, every: bool = False) -> dict[str, Any]:
        """``{machines, clouds}``; with ``every`` also those that are gone."""
        return self._exchange.json("GET", "/v1/cloud/machines", {"all": every and 1})

    def collect(self) -> dict[str, Any]:
        """Has every cloud listed anew. → ``{machines, clouds}``: those that live after it."""
        return self._exchange.json("POST", "/v1/cloud/collect")

    def terminate(self, machine: str, *, at_once: bool = False) -> str:
        """→ its state then."""
        path = f"/v1/cloud/machines/{quoted(machine)}/terminate"
        return str(self._exchange.json("POST", path, body={"at_once": at_once})["state"])

    def offers(self) -> list[dict[str, Any]]:
        """What the head may rent, the cheapest first."""
        return listed(self._exchange.json("GET", "/v1/cloud/offers"), "offers")

    def cost(self, *, month: str = "", by: str = "") -> dict[str, Any]:
        """``{month, by, lines, cost_usd, committed_usd, cap_usd}``; of this month, by user, unless told otherwise."""
        return self._exchange.json("GET", "/v1/cloud/cost", {"month": month, "by": by})

    def check_clouds(self, name: str = "") -> list[dict[str, Any]]:
        return listed(self._exchange.json("GET", "/v1/cloud/check", {"cloud": name}), "checks")

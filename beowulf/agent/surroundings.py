"""The environment every process of an attempt begins with."""

import os
from typing import Any, Dict

from beowulf.agent import library, sweep
from beowulf.agent.folder import AttemptFolder
from beowulf.agent.network import interfaces_towards

_OURS_ALONE = (
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "SSH_AUTH_SOCK",
    "SSH_ORIGINAL_COMMAND",
    "OLDPWD",
    "SHLVL",
    "_",
)


def surroundings(folder: AttemptFolder, order: Dict[str, Any]) -> Dict[str, str]:
    """The node's own variables, then the order's, then ours."""
    found = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in os.environb.items()
    }
    for name in _OURS_ALONE:
        found.pop(name, None)
    given = order.get("env") or {}
    own_path = found.get("PATH", os.defpath)
    found.update(order.get("scratch") or {})
    found.update(given)
    found["PATH"] = found.get("PATH", own_path).replace("{path}", own_path)
    if order.get("library"):
        found["PYTHONPATH"] = library.joined(found.get("PYTHONPATH", ""), order["library"])
    found[sweep.TAG] = "{}/{}".format(order["cluster"], folder.tag)
    found[sweep.ROOT] = folder.root
    found["BEOWULF_WORK"] = folder.work
    if order.get("peers"):
        names = interfaces_towards(order["peers"])
        for variable in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
            if names and variable not in given:
                found[variable] = names
    return found

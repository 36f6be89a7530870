"""The first words a rented machine hears: a cloud-init template with this launch's values in it.

In a template ``{{name}}`` stands for a value. Keys come quoted, as YAML takes them on one line; all the others
are bare words that are safe in YAML and in a shell: a value that is not is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields

from beowulf.model.cloud import Market
from beowulf.model.errors import BadInput

LEASE_FILE = "lease"  # in the agent's folder; what the machine's dead-man timer looks at
LIMIT_HOURS = 168.0
QUOTED = frozenset({"host_key_private", "host_key_public", "authorized_key"})
_PLACE = re.compile(r"\{\{([a-z_]+)\}\}")
_WORD = re.compile(r"[A-Za-z0-9._/:~-]+")


@dataclass(frozen=True, slots=True)
class Values:
    """What a template may name. ``lease_file`` is absolute: the agent writes ``BOOT_ID SECONDS`` there, the machine's
    own CLOCK_BOOTTIME at which it has to end; before the first such line it ends ``lease_s`` after its boot."""

    cluster: str
    machine: str
    user: str  # the agent's
    home: str  # that user's folder
    lease_s: str
    host_key_private: str  # OpenSSH text, several lines
    host_key_public: str  # "ssh-ed25519 AAAA…"
    authorized_key: str  # the cluster's
    market: str = Market.ON_DEMAND.value
    limit_s: str = f"{LIMIT_HOURS * 3600:.0f}"  # the machine's whole life, whatever renews its lease

    @property
    def lease_file(self) -> str:
        return f"{self.home}/.beowulf/{self.cluster}/{self.machine}/{LEASE_FILE}"


NAMES = (*(one.name for one in fields(Values)), "lease_file")


def user_data(template: str, values: Values) -> str:
    """The template filled in. Raises `BadInput` for a name that is not known or a value that is no word."""

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if name not in NAMES:
            raise BadInput(f"{{{{{name}}}}} is not known (known: {', '.join(NAMES)})", where="cloud-init template")
        value = str(getattr(values, name))
        if name in QUOTED:
            return json.dumps(value)
        if not _WORD.fullmatch(value):
            raise BadInput(f"{name} is {value!r}, which is no plain word", where="cloud-init template")
        return value

    return _PLACE.sub(fill, template)

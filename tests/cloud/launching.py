"""Launch requests for the tests of providers, the keys in them, and what holds for every depot."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from beowulf.cloud.provider import LaunchRequest
from beowulf.model.cloud import Market, Offer
from beowulf.sync.depot import Depot
from beowulf.transport import generate_key

CLOUD_CONFIG = """#cloud-config
users:
- name: beowulf
  shell: /bin/sh
  ssh_authorized_keys: ['{authorized}']
ssh_keys:
  ed25519_private: |
{private}
  ed25519_public: {public}
"""


@dataclass
class Launching:
    """Makes requests of one cluster. The same token always gets an equal request."""

    folder: Path
    offer: Offer
    cluster: str = "cafe"
    lease_s: float = 900.0
    _made: dict[str, LaunchRequest] = field(default_factory=dict)

    @property
    def key(self) -> Path:
        """The cluster's private key."""
        path = self.folder / "cluster_key"
        generate_key(path)
        return path

    def host_key(self, token: str) -> str:
        """Public half of what the machine of this token has to show."""
        return generate_key(self.folder / f"host-{token}")

    def request(self, token: str, market: Market = Market.ON_DEMAND, offer: Offer | None = None) -> LaunchRequest:
        if token not in self._made:
            public = self.host_key(token)
            authorized = self.key.with_name("cluster_key.pub").read_text().strip()
            private = "".join(f"    {line}\n" for line in (self.folder / f"host-{token}").read_text().splitlines())
            self._made[token] = LaunchRequest(
                token=token,
                machine_id=f"{self.offer.provider}-{len(self._made) + 1}",
                cluster=self.cluster,
                offer=offer or self.offer,
                market=market,
                user_data=CLOUD_CONFIG.format(authorized=authorized, private=private.rstrip("\n"), public=public),
                authorized_key=authorized,
                lease_s=self.lease_s,
                max_hourly_usd=1.0,
            )
        return self._made[token]


def drops_its_own_when_old(depot: Depot, theirs: Depot, file: Path) -> None:
    """``depot`` holds one file; ``theirs`` is another cluster's view of the same bucket."""
    for other in ("1" * 64, "2" * 64):
        depot.link(other, file)
    later = time.time() + 60.0
    assert (depot.drop(time.time() - 3600.0), theirs.drop(later), depot.drop(later), depot.drop(later)) == (0, 0, 3, 0)

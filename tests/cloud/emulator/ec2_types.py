"""A few instance types. Sizes as the EC2 instance type pages list them; prices are made up but in proportion."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    cpus: int
    memory_mib: int
    accelerator: str
    accelerators: int
    accelerator_memory_mib: int
    hourly_usd: float
    spot_usd: float


TYPES = {
    "t3.micro": Kind(2, 1024, "", 0, 0, 0.0104, 0.0031),
    "m5.large": Kind(2, 8192, "", 0, 0, 0.096, 0.035),
    "c5.xlarge": Kind(4, 8192, "", 0, 0, 0.17, 0.068),
    "c5.4xlarge": Kind(16, 32768, "", 0, 0, 0.68, 0.27),
    "g4dn.xlarge": Kind(4, 16384, "T4", 1, 16384, 0.526, 0.158),
    "g4dn.12xlarge": Kind(48, 196608, "T4", 4, 16384, 3.912, 1.17),
    "g5.xlarge": Kind(4, 16384, "A10G", 1, 24576, 1.006, 0.4),
    "p3.2xlarge": Kind(8, 62464, "V100", 1, 16384, 3.06, 0.92),
    "p4d.24xlarge": Kind(96, 1179648, "A100", 8, 40960, 32.77, 10.0),
}

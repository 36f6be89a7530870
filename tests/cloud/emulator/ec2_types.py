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
    "t3.small": Kind(2, 2048, "", 0, 0, 0.0208, 0.0062),
    "t3.medium": Kind(2, 4096, "", 0, 0, 0.0416, 0.0125),
    "t3.large": Kind(2, 8192, "", 0, 0, 0.0832, 0.025),
    "t3.xlarge": Kind(4, 16384, "", 0, 0, 0.1664, 0.05),
    "t3.2xlarge": Kind(8, 32768, "", 0, 0, 0.3328, 0.1),
    "m5.large": Kind(2, 8192, "", 0, 0, 0.096, 0.035),
    "m5.xlarge": Kind(4, 16384, "", 0, 0, 0.192, 0.07),
    "m5.2xlarge": Kind(8, 32768, "", 0, 0, 0.384, 0.14),
    "m5.4xlarge": Kind(16, 65536, "", 0, 0, 0.768, 0.28),
    "c5.large": Kind(2, 4096, "", 0, 0, 0.085, 0.034),
    "c5.xlarge": Kind(4, 8192, "", 0, 0, 0.17, 0.068),
    "c5.2xlarge": Kind(8, 16384, "", 0, 0, 0.34, 0.136),
    "r5.large": Kind(2, 16384, "", 0, 0, 0.126, 0.045),
    "r5.xlarge": Kind(4, 32768, "", 0, 0, 0.252, 0.075),
    "r5.2xlarge": Kind(8, 65536, "", 0, 0, 0.504, 0.16),
    "g4dn.xlarge": Kind(4, 16384, "T4", 1, 16384, 0.526, 0.158),
    "g4dn.12xlarge": Kind(48, 196608, "T4", 4, 16384, 3.912, 1.17),
    "g5.xlarge": Kind(4, 16384, "A10G", 1, 24576, 1.006, 0.4),
    "g6.xlarge": Kind(4, 16384, "L4", 1, 24576, 0.8048, 0.3),
    "g6e.xlarge": Kind(4, 32768, "L40S", 1, 49152, 1.861, 0.7),
    "p3.2xlarge": Kind(8, 62464, "V100", 1, 16384, 3.06, 0.92),
    "p4d.24xlarge": Kind(96, 1179648, "A100", 8, 40960, 32.77, 10.0),
    "p5.48xlarge": Kind(192, 2097152, "H100", 8, 81920, 55.04, 20.0),
}

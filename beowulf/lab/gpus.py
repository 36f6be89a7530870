"""What a made-up card says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from beowulf.lab.topology import Gpu


@dataclass(frozen=True)
class Card:
    name: str
    memory_mib: int
    compute_capability: str
    driver: str


# As nvidia-smi prints them. Retired cards keep the last driver that knows them.
CARDS = {
    "K80": Card("Tesla K80", 11441, "3.7", "470.256.02"),
    "K40": Card("Tesla K40m", 11441, "3.5", "470.256.02"),
    "M60": Card("Tesla M60", 7680, "5.2", "535.183.01"),
    "GTX1080": Card("NVIDIA GeForce GTX 1080", 8192, "6.1", "535.183.01"),
    "P100": Card("Tesla P100-PCIE-16GB", 16384, "6.0", "535.183.01"),
    "V100": Card("Tesla V100-SXM2-16GB", 16384, "7.0", "535.183.01"),
    "T4": Card("Tesla T4", 15360, "7.5", "535.183.01"),
    "A100": Card("NVIDIA A100-SXM4-40GB", 40960, "8.0", "550.90.07"),
    "H100": Card("NVIDIA H100 80GB HBM3", 81559, "9.0", "550.90.07"),
}


def fake_cards(gpus: Sequence[Gpu], host: str) -> list[dict[str, str]]:
    """One row of nvidia-smi fields per card. A kind that is not in the table is shown under its own name."""
    rows: list[dict[str, str]] = []
    for gpu in gpus:
        card = CARDS.get(gpu.kind.upper().replace(" ", ""), Card(gpu.kind, 8192, "6.0", "535.183.01"))
        for _ in range(gpu.count):
            memory_mib = gpu.memory or card.memory_mib
            rows.append(_row(card, len(rows), memory_mib, gpu.driver or card.driver, host))
    return rows


def _row(card: Card, index: int, memory_mib: int, driver: str, host: str) -> dict[str, str]:
    digest = hashlib.sha256(f"{host}/{index}".encode()).hexdigest()
    uuid = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    return {
        "index": str(index),
        "name": card.name,
        "uuid": f"GPU-{uuid}",
        "pci.bus_id": f"00000000:{index + 4:02X}:00.0",
        "memory.total": str(memory_mib),
        "memory.used": "0",
        "memory.free": str(memory_mib),
        "driver_version": driver,
        "compute_cap": card.compute_capability,
    }

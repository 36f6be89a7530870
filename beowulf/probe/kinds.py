"""Short accelerator names, the ones job files use: ``RTX3090``, ``K80``, ``A100-80GB``, ``MI210``, ``Gaudi2``.

They follow the names SkyPilot's catalogue made common. Marketing and bus words go (NVIDIA, Tesla, GeForce, Quadro, SXM,
PCIe, HBM), the rest is joined. A memory size is part of the name only where a model was sold in two sizes, and
then only for the size that is not the usual one: an A100 with 40 GB is ``A100``, one with 80 GB ``A100-80GB``.
"""

from __future__ import annotations

import re

USUAL_GB = {
    "A100": 40,
    "V100": 16,
    "P100": 16,
    "M40": 12,
    "K40": 12,
    "GTX1060": 6,
    "RTX3060": 12,
    "RTX3080": 10,
    "MI50": 16,
}
NOISE = re.compile(
    r"\b(nvidia|tesla|geforce|quadro|amd|radeon|instinct|corporation|graphics|generation|accelerator|gpu|edition"
    r"|pci-?e|sxm\d*|oam|hbm\d*e?|dgxs?|fhhl|ls|tm|r|oem|pg\d+)\b",
    re.IGNORECASE,
)
SIZE = re.compile(r"\b(\d+)\s*gb?\b", re.IGNORECASE)
# nvidia-smi knows no compute_cap before driver 510 or so. First match wins.
COMPUTE_CAPABILITY = (
    (r"^GT[X]?4\d\d|^C20[57]0|^M20[579]0", "2.0"),
    (r"^K80", "3.7"),
    (r"^K(20|40)|^K[56]\d00|^GTXTITAN(Black|Z)?$|^TITAN(Black|Z)?$|^GTX7[89]0", "3.5"),
    (r"^K\d+|^GTX[67][678]\d|^GT7\d\d", "3.0"),
    (r"^GTX7[45]0|^K[126]200|^GTX8\d\d", "5.0"),
    (r"^M\d+|^GTX9\d\d|^(GTX)?TITANX$|^M\d000", "5.2"),
    (r"^P100|^GP100", "6.0"),
    (r"^P\d+|^GTX10\d\d|^GT10\d\d|^TITANX(p|Pascal)|^TITANXp", "6.1"),
    (r"^V100|^TITANV|^GV100", "7.0"),
    (r"^T4|^RTX20\d\d|^GTX16\d\d|^TITANRTX|^T\d+|^RTX[345680]+00$", "7.5"),
    (r"^A100|^A30$|^A800", "8.0"),
    (r"^A\d+|^RTX30\d\d|^RTXA\d000", "8.6"),
    (r"^L4|^L40|^RTX40\d\d|^RTX\d000-?Ada", "8.9"),
    (r"^G?H\d00|^H20", "9.0"),
    (r"^G?B[23]00", "10.0"),
    (r"^RTX50\d\d|^RTXPRO", "12.0"),
)
GAUDI = {"HL-1": "Gaudi", "HL-2": "Gaudi2", "HL-3": "Gaudi3"}
GAUDI_EXACT = {"HL-200": "Gaudi", "HL-205": "Gaudi", "HL-100": "Goya"}


def gpu_kind(name: str, memory_mib: int = 0) -> str:
    """``"NVIDIA GeForce RTX 3090"`` → ``"RTX3090"``. ``""`` when nothing is left of the name."""
    bracketed = re.search(r"\[([^\]]+)\]", name)  # "Arcturus GL-XL [AMD Instinct MI100]"
    text = bracketed.group(1) if bracketed else name
    text = re.sub(r"\((tm|r)\)", " ", text, flags=re.IGNORECASE)
    sizes = SIZE.findall(text)
    text = NOISE.sub(" ", SIZE.sub(" ", text)).replace("-", " ")
    words = re.findall(r"[A-Za-z0-9.]+", text)
    tail = [word for word in words if word in {"Ada", "Laptop", "NVL", "Blackwell"}]
    kind = "".join(word for word in words if word not in tail and not re.fullmatch(r"Max|Q|Design|with", word))
    kind = re.sub(r"^(K20|K40|K10)[cmst]$", r"\1", re.sub(r"^K20Xm$", "K20X", kind))
    size = int(sizes[-1]) if sizes else round(memory_mib / 1024)
    if kind in USUAL_GB and size and abs(size - USUAL_GB[kind]) > USUAL_GB[kind] * 0.1:
        tail.append(f"{size}GB")
    return "-".join([kind, *(word for word in tail if word != "Blackwell")]) if kind else ""


def compute_capability(kind: str) -> str:
    """By name, for drivers that do not tell it; ``""`` for a name we do not know."""
    plain = kind.split("-")[0] if "Ada" not in kind else kind
    return next((version for pattern, version in COMPUTE_CAPABILITY if re.search(pattern, plain)), "")


def gaudi_kind(name: str) -> str:
    """``"HL-225"`` → ``"Gaudi2"``: the first digit is the generation, but the first Gaudi was sold as HL-20x."""
    short = name.strip().upper()[:6]
    return GAUDI_EXACT.get(short) or GAUDI.get(short[:4], "Gaudi")


def neuron_kind(product: str, cores: int) -> str:
    """By the machine's product name (``trn1.2xlarge``), which is what tells Inferentia2 from Trainium."""
    family = product.lower().split(".")[0]
    if family.startswith("trn"):
        return "Trainium" if family.startswith("trn1") else f"Trainium{family[3:4]}"
    if family.startswith("inf2"):
        return "Inferentia2"
    return "Inferentia" if family.startswith("inf1") or cores == 4 else "Trainium"


TPU_BY_PCI = {
    ("0x0027", "0x004e"): ("TPUv2", 8),
    ("0x0027", "0x004f"): ("TPUv3", 16),
    ("0x005e", ""): ("TPUv4", 32),
    ("0x0062", ""): ("TPUv5p", 95),
    ("0x0063", ""): ("TPUv5e", 16),
    ("0x006f", ""): ("TPUv6e", 32),
}


def tpu_kind(device: str, subsystem: str) -> tuple[str, int]:
    """``(kind, memory in GiB)`` of a Google PCI device; ``("", 0)`` when it is no TPU (their NICs share the vendor)."""
    return TPU_BY_PCI.get((device, subsystem)) or TPU_BY_PCI.get((device, "")) or ("", 0)

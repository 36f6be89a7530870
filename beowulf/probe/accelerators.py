"""Accelerators of every vendor, numbered per node in the order their tool lists them."""

from __future__ import annotations

import json
from typing import Any

from beowulf.model.node import Gpu
from beowulf.probe.answers import ABSENT, Answer, Answers, whole
from beowulf.probe.kinds import gaudi_kind, gpu_kind, neuron_kind, tpu_kind
from beowulf.probe.nvidia import read_nvidia
from beowulf.probe.trouble import complaint

MIB = 1024 * 1024
INTEGRATED_MIB = 1024  # what a processor's built-in graphics keep for themselves; too little to train on
DISPLAY_CLASSES = ("0x0300", "0x0302", "0x1200")
PCI_VENDORS = {"0x10de": "nvidia", "0x1da3": "gaudi"}

Reading = tuple[tuple[Gpu, ...], tuple[str, ...]]


def read_accelerators(answers: Answers) -> Reading:
    """``(GPUs, complaints)`` of all vendors together."""
    product = answers.of("identity").pairs.get("product", "")
    readings = (
        read_nvidia(answers.of("nvidia")),
        _amd(answers.of("amd")),
        _gaudi(answers.of("gaudi")),
        _neuron(answers.of("neuron"), product),
        (_tpus(answers.of("pci")), ()),
    )
    gpus = tuple(gpu for found, _ in readings for gpu in found)
    complaints = tuple(sentence for _, said in readings for sentence in said)
    return gpus, (*complaints, *_unseen(answers.of("pci"), gpus, complaints))


def _amd(answer: Answer) -> Reading:
    early = _before_reading("rocm-smi", answer)
    if early is not None:
        return early
    cards = _json(answer.out)
    if not isinstance(cards, dict):
        return (), (complaint("GPU tool failed", f"rocm-smi: {answer.out or answer.err}"),)
    driver = str(_lowered(cards.get("system", {})).get("driver version", ""))
    found = []
    for key in sorted(
        (key for key in cards if key.startswith("card") and key[4:].isdigit()), key=lambda key: int(key[4:])
    ):
        gpu = _amd_card(_lowered(cards[key]), int(key[4:]), driver)
        if gpu.memory_mib == 0 or gpu.memory_mib >= INTEGRATED_MIB:
            found.append(gpu)
    return tuple(found), ()


def _amd_card(card: dict[str, str], index: int, driver: str) -> Gpu:
    # Key spellings changed with ROCm 3, 5 and 6; "Card model" is a name on old ones and a PCI number on others.
    names = [card.get(key, "") for key in ("card series", "card model", "device name", "card sku")]
    name = next((text for text in names if text and text != "N/A" and not text.startswith("0x")), "AMD GPU")
    size = (whole(card.get("vram total memory (b)", "")) or 0) // MIB
    unique = card.get("unique id", "")
    return Gpu(
        index=index,
        kind=gpu_kind(name, size) or "GPU",
        vendor="amd",
        name=name,
        memory_mib=size,
        uuid="" if unique == "N/A" else unique,
        driver=driver,
        compute_capability=card.get("gfx version", ""),
    )


def _gaudi(answer: Answer) -> Reading:
    early = _before_reading("hl-smi", answer)
    if early is not None:
        return early
    found = []
    for line in answer.lines:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) >= 5 and fields[0].isdigit():
            size = whole(fields[2]) or 0
            found.append(Gpu(int(fields[0]), gaudi_kind(fields[1]), "gaudi", fields[1], size, fields[3], fields[4]))
    if not found:
        return (), (complaint("GPU tool failed", f"hl-smi: {answer.out or answer.err}"),)
    return tuple(found), ()


def _neuron(answer: Answer, product: str) -> Reading:
    early = _before_reading("neuron-ls", answer)
    if early is not None:
        return early
    devices = _json(answer.out)
    if isinstance(devices, dict):  # newer releases wrap the list and name the machine
        product = str(devices.get("instance_type", product))
        devices = devices.get("neuron_devices", devices.get("mlas"))
    if not isinstance(devices, list):
        return (), (complaint("GPU tool failed", f"neuron-ls: {answer.out or answer.err}"),)
    found = []
    for place, device in enumerate(device for device in devices if isinstance(device, dict)):
        kind = neuron_kind(product, whole(str(device.get("nc_count"))) or 0)
        size = (whole(str(device.get("memory_size"))) or 0) // MIB
        index = whole(str(device.get("neuron_device")))
        found.append(
            Gpu(place if index is None else index, kind, "neuron", product or kind, size, str(device.get("bdf", "")))
        )
    return tuple(found), ()


def _tpus(pci: Answer) -> tuple[Gpu, ...]:
    """From the PCI bus, since libtpu lets only one process at a time ask the chips themselves."""
    rows = [line.split() for line in pci.lines]
    chips = [tpu_kind(row[2], row[3] if len(row) > 3 else "") for row in rows if len(row) >= 3 and row[1] == "0x1ae0"]
    known = [(kind, gib) for kind, gib in chips if kind]
    return tuple(Gpu(index, kind, "tpu", kind, gib * 1024) for index, (kind, gib) in enumerate(known))


def _unseen(pci: Answer, gpus: tuple[Gpu, ...], complaints: tuple[str, ...]) -> tuple[str, ...]:
    """What sits on the bus but no tool spoke of."""
    said = []
    for number, vendor in PCI_VENDORS.items():
        rows = [line.split() for line in pci.lines]
        present = sum(1 for row in rows if len(row) >= 3 and row[1] == number and row[0][:6] in DISPLAY_CLASSES)
        offered = sum(1 for gpu in gpus if gpu.vendor == vendor)
        if complaints or present <= offered:
            continue
        if offered:
            said.append(
                complaint("GPU count differs", f"{present} {vendor} GPUs on the bus, {offered} in use by the driver")
            )
        else:
            said.append(
                complaint("GPU without tool", f"{present} {vendor} GPU(s) on the bus, none offered by a driver")
            )
    return tuple(said)


def _before_reading(tool: str, answer: Answer) -> Reading | None:
    if answer.timed_out:
        return (), (complaint("GPU tool hangs", f"{tool} did not answer in time"),)
    if answer.code is None or answer.code == ABSENT:
        return (), ()
    return None


def _json(out: str) -> Any:
    """The JSON in ``out``; tools print warnings before it. None where there is none."""
    starts = [place for place in (out.find("{"), out.find("[")) if place >= 0]
    for start in sorted(starts):
        try:
            value, _ = json.JSONDecoder().raw_decode(out[start:])
        except ValueError:
            continue
        return value
    return None


def _lowered(card: object) -> dict[str, str]:
    return {str(key).lower(): str(value) for key, value in card.items()} if isinstance(card, dict) else {}

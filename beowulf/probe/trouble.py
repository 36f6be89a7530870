"""The sentences a probe may leave in ``Facts.complaints`` and ``Gpu.complaint``, and what mends each.

A complaint is ``"<topic>: <what was seen>"``. Topics are ours; what tools print is only quoted after the colon, so
that `doctor` never has to recognise prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beowulf.probe.finding import Severity


@dataclass(frozen=True, slots=True)
class Trouble:
    severity: Severity
    why: str
    mend: str


TROUBLES: Mapping[str, Trouble] = {
    "no answer": Trouble(
        Severity.WARNING,
        "a probe that hangs usually means a dead file server or a wedged driver",
        "beowulf ssh {node} -- 'dmesg | tail -50'",
    ),
    "GPU tool hangs": Trouble(
        Severity.ERROR,
        "the driver does not answer; jobs that touch the GPU would hang as well",
        "reboot the node; if it comes back, look for Xid lines: beowulf ssh {node} -- 'dmesg | grep -i xid'",
    ),
    "GPU driver mismatch": Trouble(
        Severity.ERROR,
        "the driver's library was upgraded while the old kernel module stayed loaded",
        "beowulf ssh {node} -- sudo reboot",
    ),
    "GPU driver not loaded": Trouble(
        Severity.ERROR,
        "there is a GPU but no driver talks to it: its jobs cannot run here",
        "beowulf ssh {node} -- 'sudo dkms autoinstall && sudo modprobe nvidia', or install the driver again",
    ),
    "GPU without tool": Trouble(
        Severity.WARNING,
        "a GPU sits in the machine but its driver's tool is not installed, so it is not counted",
        "install the vendor's driver on {node}, e.g. sudo apt install nvidia-driver",
    ),
    "GPU lost": Trouble(
        Severity.ERROR,
        "the GPU fell off the bus: power, heat or a loose card",
        "power-cycle {node}; if it happens again, reseat the card and check its power cables",
    ),
    "GPU needs reset": Trouble(
        Severity.ERROR,
        "the GPU stopped after an error and refuses work until it is reset",
        "beowulf ssh {node} -- sudo nvidia-smi --gpu-reset, or reboot",
    ),
    "GPU permission": Trouble(
        Severity.ERROR,
        "the node user may not open the GPU's device file",
        "beowulf ssh {node} -- 'sudo usermod -aG video,render $USER', then: beowulf nodes resume {node}",
    ),
    "GPU info damaged": Trouble(
        Severity.WARNING,
        "the card's own memory for settings is corrupt; it often fails soon",
        "plan to replace the card",
    ),
    "GPU split (MIG)": Trouble(
        Severity.WARNING,
        "whole GPUs are given to jobs; a split one is left out",
        "beowulf ssh {node} -- sudo nvidia-smi -mig 0",
    ),
    "GPU tool failed": Trouble(
        Severity.WARNING,
        "what it printed could not be read, so its GPUs are not counted",
        "run the tool by hand on {node}",
    ),
    "GPU count differs": Trouble(
        Severity.WARNING,
        "the machine holds more GPUs than the driver offers",
        "beowulf ssh {node} -- 'dmesg | grep -i -E \"nvrm|xid|amdgpu\" | tail'",
    ),
}


def complaint(topic: str, seen: str) -> str:
    assert topic in TROUBLES, topic
    return f"{topic}: {' '.join(seen.split())[:300]}"


def trouble(sentence: str) -> Trouble:
    """How bad a complaint is and what mends it; a warning without a cure for one we do not know."""
    topic, _, _ = sentence.partition(": ")
    return TROUBLES.get(
        topic, Trouble(Severity.WARNING, "the inventory of the node may be incomplete", "look at {node}")
    )

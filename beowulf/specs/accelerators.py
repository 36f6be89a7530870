"""The table of accelerators → what each is for, what the planner goes by, and the page that tells people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beowulf.model.market import Accelerator
from beowulf.specs import gpus, quantities, words
from beowulf.specs.kinds import Fields, Key, Many, MapOf, Record, Word
from beowulf.specs.scheduling import decimal
from beowulf.specs.table_file import read_entries

USES = ("training", "inference")
NEEDED = ("kind", "vendor", "memory", "for", "about")
VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "neuron": "AWS", "tpu": "Google", "gaudi": "Intel"}


@dataclass(frozen=True, slots=True)
class Kind:
    """``tflops`` and ``bandwidth_gb_s`` are peaks (the table says whence); 0: not known."""

    kind: str
    vendor: str
    memory_mib: int
    capability: str
    tflops: float
    bandwidth_gb_s: float
    uses: tuple[str, ...]
    about: str
    machines: Mapping[str, tuple[str, ...]]  # by provider

    @property
    def accelerator(self) -> Accelerator:
        """Training is bound by arithmetic as much as by memory: the mean of both stands for it."""
        return Accelerator(self.vendor, self.capability, math.sqrt(self.tflops * self.bandwidth_gb_s))


KIND = Record(
    (
        Key("kind", Word("T4", gpus.gpu_kind, words.TEXT), "The short name that job files use."),
        Key("vendor", words.choice(*VENDORS), "Whose programs it needs."),
        Key("memory", words.memory, "Of one."),
        Key("capability", words.line, "NVIDIA's compute capability."),
        Key("tflops", decimal(0.001, 1e6), "Dense 16-bit matrix arithmetic."),
        Key("bandwidth", decimal(1, 1e6), "Of its memory, in GB/s."),
        Key("for", Many(words.choice(*USES), "training, inference"), "What it is good for."),
        Key("about", words.line, "What to know of it."),
        Key(
            "machines", MapOf(quantities.name, words.many(words.line, "machine types"), "{aws: [g5.xlarge]}"), "Where."
        ),
    ),
    "an accelerator",
)
TABLE = Record((Key("accelerators", Many(KIND, "a list of accelerators", single=False), "The kinds."),))


def parse_accelerators(text: str, *, name: str) -> tuple[Kind, ...]:
    """Raises `BadInput` with one line per complaint."""
    entries = read_entries(text, TABLE, NEEDED, "an accelerator", name=name)
    return tuple(_kind(one) for one in entries)


def _kind(fields: Fields) -> Kind:
    return Kind(
        kind=fields.get("kind", ""),
        vendor=fields.get("vendor", ""),
        memory_mib=fields.get("memory", 0),
        capability=fields.get("capability", ""),
        tflops=fields.get("tflops", 0.0),
        bandwidth_gb_s=fields.get("bandwidth", 0.0),
        uses=fields.get("for", ()),
        about=fields.get("about", ""),
        machines=fields.get("machines", {}),
    )


def accelerators_page(kinds: Sequence[Kind]) -> str:
    """``docs/accelerators.md``"""
    providers = sorted({provider for kind in kinds for provider in kind.machines})
    head = ["accelerator", "memory", "for", "16-bit TFLOPS", "GB/s", "what to know", *providers]
    rows = [f"| {' | '.join(_cells(kind, providers))} |" for kind in kinds]
    return "\n".join([_PAGE, f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows, ""])


def _cells(kind: Kind, providers: Sequence[str]) -> list[str]:
    figures = [f"{one:g}" if one else "not told" for one in (kind.tflops, kind.bandwidth_gb_s)]
    types = [", ".join(f"`{name}`" for name in kind.machines.get(provider, ())) for provider in providers]
    name = f"{VENDORS[kind.vendor]} `{kind.kind}`"
    return [name, f"{kind.memory_mib / 1024:g} GB", ", ".join(kind.uses), *figures, kind.about, *types]


_PAGE = """\
<!-- Written by scripts/write-references from nodes/catalogue/accelerators.yaml; a test compares. -->

# Accelerators of the clouds, and what they are for

The names are those of job files: `resources: {accelerators: "T4:1"}`. `beowulf cloud offers --gpu T4` and
`beowulf cloud offers --for inference` show what the machines cost. A job that names no kind is only ever sent to NVIDIA
devices: all others need programs of their own. Figures are peaks (dense 16-bit matrix arithmetic, memory bandwidth);
what a job really gains is less, and the planner, to compare two kinds, takes the geometric mean of both.

The figures were checked on 2026-11-25 in stored copies of public pages. Those of AWS's, Google's and Intel's devices
agree with their makers (AWS Neuron documentation, Google Cloud TPU documentation, Intel's slides at Hot Chips 2024).
Those of NVIDIA's and AMD's were compared with others' pages that repeat the data sheets: take them as approximate.
What a kind is for and its machine types are from general knowledge. Machine types are examples; that a type is listed
does not mean that an account may start one.
"""

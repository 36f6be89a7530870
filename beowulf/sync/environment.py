"""Which environment a job's Python needs on a node, and the digest that names it there. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from beowulf.model.job import Environment
from beowulf.model.node import Facts
from beowulf.sync.errors import Refusal

# Part of the digest: grows when environments are built in another way.
BUILD = 1


@dataclass(frozen=True, slots=True)
class NodeKind:
    """Nodes of one kind take the same wheels."""

    python: str  # "3.11"
    arch: str  # "x86_64"
    glibc: str  # "2.36"; "": not glibc, or not known
    cuda: bool = False

    @property
    def platforms(self) -> tuple[str, ...]:
        """pip's platform tags, best first."""
        major, _, minor = self.glibc.partition(".")
        if major != "2" or not minor.isdigit():
            return (f"linux_{self.arch}",)
        oldest = 5 if self.arch in ("x86_64", "i686") else 17
        tags = [f"manylinux_2_{number}_{self.arch}" for number in range(int(minor), oldest - 1, -1)]
        legacy = [("manylinux2014", 17), ("manylinux2010", 12), ("manylinux1", 5)]
        tags += [f"{name}_{self.arch}" for name, number in legacy if int(minor) >= number >= oldest]
        return (*tags, f"linux_{self.arch}")


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """``digest`` names the folder ``envs/<digest>`` on the node; ``interpreter`` is a path there."""

    digest: str
    kind: NodeKind
    interpreter: str
    requirements: tuple[str, ...]


def needs_environment(environment: Environment) -> bool:
    return not environment.venv and bool(environment.requirements or environment.python)


def plan_environment(environment: Environment, facts: Facts) -> EnvironmentPlan | Refusal:
    """What to build on a node with these facts. Asks only where `needs_environment` is true."""
    found = interpreter(environment.python, facts.pythons)
    if isinstance(found, Refusal):
        return found
    version, path = found
    cuda = any(gpu.vendor == "nvidia" for gpu in facts.gpus)
    kind = NodeKind(".".join(version.split(".")[:2]), facts.arch, facts.glibc, cuda)
    named = [BUILD, environment.requirements, kind.python, kind.arch, kind.glibc, kind.cuda, path]
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    return EnvironmentPlan(digest, kind, path, environment.requirements)


def environment_digest(environment: Environment, facts: Facts) -> str | Refusal:
    """The name of the folder in ``envs/``; ``""`` when the job brings no environment of ours."""
    if not needs_environment(environment):
        return ""
    planned = plan_environment(environment, facts)
    return planned if isinstance(planned, Refusal) else planned.digest


def interpreter(wanted: str, pythons: tuple[str, ...]) -> tuple[str, str] | Refusal:
    """``(version, path)`` of the first of ``"3.11.2 /usr/bin/python3"`` … that is a ``wanted`` ("3.11"; "": any)."""
    for line in pythons:
        version, _, path = line.partition(" ")
        if not wanted or version == wanted or version.startswith(wanted + "."):
            return version, path.strip()
    if not pythons:
        return Refusal("it has no Python that the head knows of")
    versions = ", ".join(line.partition(" ")[0] for line in pythons)
    return Refusal(f"the job asks for Python {wanted}, it has {versions}")

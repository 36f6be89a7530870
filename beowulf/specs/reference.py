"""The reference pages of our file formats as Markdown, from the same tables the parsers use."""

from __future__ import annotations

from collections.abc import Iterator

from beowulf.specs.inventory import INVENTORY, NODE
from beowulf.specs.job_keys import JOB
from beowulf.specs.job_options import OPTIONS
from beowulf.specs.kinds import Key, Record
from beowulf.specs.scheduling import MAINTENANCE, QUOTA, SERVICE_CLASS, WEIGHTS
from beowulf.specs.settings import SETTINGS

_NOTE = "<!-- Written by scripts/write-references from beowulf/specs; a test compares. -->"

_JOB = """\
# The job file

YAML 1.2, one document, at most 1 MiB. Unknown keys, repeated keys, tags, anchors and aliases are refused; every
complaint says `file:line:column`, and all of them are reported at once, before a head is asked. `beowulf plan FILE` (or
`submit --dry-run`) says what would become of the job and queues nothing.
Options of `beowulf submit` win over the file and pass the same checks. For completion in an editor, begin the file with
`# yaml-language-server: $schema=../docs/schemas/job.schema.json`.

```yaml
name: digits
num_nodes: 4                      # or a range: 2..8
resources: {cpus: 2, memory: 4GB, accelerators: "RTX3090:1"}
workdir: jobs/digits              # copied to every machine
env: {python: "3.11", requirements: [torch==2.13.0, numpy, scikit-learn]}
launcher: torchrun
run: python train.py
outputs: [results/]
max_duration: 30m
```

Relative paths (`workdir`, sources of `file_mounts`, `env.requirements`) count from the folder in which `beowulf` is
run; `..` is refused in every path. `run` as text goes through a shell; as a list it is passed on byte for byte.
Variables that beowulf sets for every rank (`RANK`, `WORLD_SIZE`, `MASTER_ADDR`, `CUDA_VISIBLE_DEVICES`, `BEOWULF_*`,
`SLURM_*`, …) cannot be given under `envs`.
"""

_INVENTORY = """\
# The inventory file

The machines a head may use, for `beowulf nodes add`. Checked like a job file: every complaint with
`file:line:column`, unknown keys refused.

```yaml
defaults: {user: lab}
nodes:
  n[01-16]: {host: "10.0.0.[1-16]"}
  gpu1: {host: gpu1.lab, proxy_jump: lab@gateway, tags: {room: cellar}}
  head: {local: true}
groups: {fast: "n[01-04],gpu1"}
```

A machine without `host` is reached by its name, so that `~/.ssh/config` decides.
"""

_SETTINGS = """\
# The settings file

`$BEOWULF_HOME/settings.yaml`, read when the head starts. Without the file every default holds.

```yaml
heartbeat_s: 5
lease_s: 24h
quarantine: {failures: 4, within_s: 10m}
scheduler:
  policy: fair
  shares: {alice: 2}
  classes: {urgent: {weight: 1, preempts: [batch]}, batch: {grace: 30m}}
  quotas: [{user: "*", accelerator: RTX3090, gpus: 4}]
  maintenance: [{nodes: "n[1-4]", from: 2026-12-01T08:00, for: 4h, reason: new fans}]
```

What the section `scheduler` means is told in [scheduling.md](scheduling.md).
"""


def reference_pages() -> dict[str, str]:
    """File name → text, as kept in ``docs/``."""
    return {
        "job-file.md": _page(_JOB, "Keys", JOB, [_not_yet(), _options()]),
        "inventory-file.md": _page(_INVENTORY, "Keys", INVENTORY, [_table("A machine", NODE)]),
        "settings-file.md": _page(_SETTINGS, "Keys", SETTINGS, _scheduler()),
    }


def _scheduler() -> list[str]:
    inner = {"weights": WEIGHTS, "classes.NAME": SERVICE_CLASS, "quotas[]": QUOTA, "maintenance[]": MAINTENANCE}
    return [_table(f"`scheduler.{name}`", record) for name, record in inner.items()]


def _page(intro: str, title: str, record: Record, rest: list[str]) -> str:
    sections = [_table(f"`{key.name}`", key.kind) for key in record.keys if isinstance(key.kind, Record)]
    return "\n".join([_NOTE, "", intro, _table(title, record), *sections, *rest])


def _table(title: str, record: Record) -> str:
    rows = [f"## {title}", "", "| key | takes | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*rows, *_rows(record), ""])


def _rows(record: Record) -> Iterator[str]:
    for key in record.keys:
        names = f"`{key.name}`" + "".join(f", also `{alias}`" for alias in key.also)
        yield f"| {names} | {_cell(_takes(key))} | {_cell(key.default)} | {_cell(key.meaning)} |"


def _takes(key: Key) -> str:
    words = [key.kind.words, *(f"`{alias}`: {kind.words}" for alias, kind in key.also_kinds.items())]
    return "; ".join(words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _not_yet() -> str:
    rows = [f"| `{name}` | {_cell(why)} |" for name, why in sorted(JOB.later.items())]
    return "\n".join(["## Keys of later versions", "", "| key | what is said of it |", "|---|---|", *rows, ""])


def _options() -> str:
    rows = [f"| `{option}` | `{'.'.join(path)}` |" for option, path in OPTIONS.items()]
    return "\n".join(["## Options of `submit` and `run`", "", "| option | key |", "|---|---|", *rows, ""])

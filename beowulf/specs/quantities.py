"""Single values as people write them → numbers and names. Each raises `Wrong`, the end of a sentence about it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from beowulf.model.job import Dependency
from beowulf.specs.complaints import Wrong, shown

MAX_DURATION_S = 10 * 366 * 86400
MAXMEMORY_MIB = 1 << 30  # one PiB
MAX_TASKS = 100_000
MAX_INDEX = 10_000_000
MAX_USD = 10_000_000.0

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_SPOKEN = re.compile(
    r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m(?:in)?)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)s)?"
)
_CLOCK = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6})(?::([0-9]{2}))?(?::([0-9]{2}))?")
MEMORY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([kmgt]?)(i?b)?(\+|\.\.)?", re.IGNORECASE)
_MIB = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024, "": 1024}
_INDICES = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_JOB_ID = re.compile(r"[0-9]{1,12}(?:_[0-9]{1,9})?")
_MLFLOW = re.compile(
    r"https?://[^\s/?#]\S*|databricks(://[^\s/]+)?|(postgresql|mysql|mssql|sqlite)(\+[a-z0-9_]+)?://\S+|file:/\S+"
)
_SITE = re.compile(r"[A-Za-z0-9._-]{1,64}([:/][A-Za-z0-9._-]{1,64})?")
_ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_OURS = re.compile(
    r"BEOWULF_.*|SLURM_.*|OMPI_COMM_WORLD_.*|PMIX_.*|(LOCAL_|NODE_|GROUP_|ROLE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE"
    r"|NNODES|MASTER_(ADDR|PORT)|CUDA_VISIBLE_DEVICES|TF_CONFIG"
)


def line(text: str) -> str:
    """Any text that stays on one line."""
    if not text.strip():
        raise Wrong("is empty")
    if any(not char.isprintable() for char in text):
        raise Wrong("holds a line break or a control character")
    return text


def prose(text: str) -> str:
    """Any text that is not blank."""
    if not text.strip():
        raise Wrong("is empty")
    return text


def name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) or text.startswith("-") or set(text) <= {"."}:
        raise Wrong("is not a name (1 to 64 letters, digits, '.', '_' and '-', not beginning with '-')")
    return text


def choice(*words: str, **aliases: str) -> Callable[[str], str]:
    """A reader of one of ``words``; ``aliases`` maps further spellings to them."""

    def read(text: str) -> str:
        chosen = aliases.get(text, text)
        if chosen not in words:
            raise Wrong(f"is not known ({', '.join(sorted(words))})")
        return chosen

    return read


def integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise Wrong("is not a whole number")
        if not low <= int(text) <= high:
            raise Wrong(f"is not between {low} and {high}")
        return int(text)

    return read


def flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Wrong("is neither true nor false")
    return text.lower() == "true"


def node_count(text: str) -> tuple[int, int]:
    """``"4"`` → (4, 4); ``"2..8"`` → (2, 8)."""
    match = re.fullmatch(r"([0-9]{1,6})(?:\.\.([0-9]{1,6}))?", text)
    if not match:
        raise Wrong("is not a number of nodes (4, or 2..8)")
    low, high = int(match[1]), int(match[2] or match[1])
    if not 1 <= low <= high <= 10_000:
        raise Wrong("is not a number of nodes between 1 and 10000" if low == high else "is not a range within 1..10000")
    return low, high


def ranks_per_node(text: str) -> int:
    """``auto`` → 0."""
    return 0 if text == "auto" else integer(1, 4096)(text)


def threads(text: str) -> int:
    """``"4"`` and ``"4+"`` → 4; ``all`` → -1."""
    return -1 if text == "all" else integer(1, 65_536)(text.removesuffix("+"))


def memory_mib(text: str) -> int:
    """``512MB``, ``16GB``, ``16+``; a bare number counts in GB. Rounded up; 1 GB is 1024 MiB."""
    match = MEMORY.fullmatch(text)
    if not match or (match[3] and not match[2]):
        raise Wrong("is not an amount (16GB, 512MB, 16+; a bare number counts in GB)")
    amount = math.ceil(float(match[1]) * _MIB[match[2].lower()])
    if not 1 <= amount <= MAXMEMORY_MIB:
        raise Wrong("is not an amount between 1 MB and 1024 TB")
    return amount


def duration_s(text: str) -> float:
    """``90m``, ``1h30m``, ``2-03:00:00`` (days-hours:minutes:seconds), ``10:00`` (minutes:seconds), or seconds."""
    seconds = _seconds(text)
    if seconds is None:
        raise Wrong("is not a duration (90m, 1h30m, 2-03:00:00, or a number of seconds)")
    if not seconds <= MAX_DURATION_S:
        raise Wrong("is longer than ten years")
    return seconds


def limit_s(text: str) -> float:
    """As `duration_s`, and ``unlimited`` → 0."""
    if text == "unlimited":
        return 0.0
    seconds = duration_s(text)
    if seconds < 1:
        raise Wrong("is shorter than a second (leave it out, or write 'unlimited', for no limit)")
    return seconds


def _seconds(text: str) -> float | None:
    if _DECIMAL.fullmatch(text):
        return float(text)
    spoken = _SPOKEN.fullmatch(text)
    if spoken and text:
        days, hours, minutes, seconds = (float(part or 0) for part in spoken.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return None
    days, first, second, third = (int(part or 0) for part in clock.groups())
    if clock[1] is not None or clock[4] is not None:
        hours, minutes, seconds = first, second, third
    else:
        hours, minutes, seconds = 0, first, second
    return float(days * 86400 + hours * 3600 + minutes * 60 + seconds)


def array_indices(text: str) -> tuple[int, ...]:
    """``1-10:2,15`` → 1, 3, 5, 7, 9, 15: ascending, without repeats."""
    if "%" in text:
        raise Wrong("limits how many tasks run at once ('%'), which this version does not do: leave the limit out")
    found: set[int] = set()
    total = 0
    for part in text.split(","):
        match = _INDICES.fullmatch(part.strip())
        if not match:
            raise Wrong("is not an array (1-1000, 1-10:2, or 1,3,5-7)")
        low, high, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if low > high or step == 0 or high > MAX_INDEX:
            raise Wrong(f"is not an array: {shown(part)} is empty or reaches beyond {MAX_INDEX}")
        total += (high - low) // step + 1
        if total > MAX_TASKS:
            raise Wrong(f"has more than {MAX_TASKS} tasks")
        found.update(range(low, high + 1, step))
    return tuple(sorted(found))


def dependencies(text: str) -> tuple[Dependency, ...]:
    """``afterok:12``, ``afterok:12:13,afterany:14_3``."""
    found: list[Dependency] = []
    for part in text.split(","):
        kind, *jobs = part.strip().split(":")
        if kind not in ("afterok", "afterany", "afternotok") or not jobs:
            raise Wrong("is not a dependency (afterok:12, afterany:12:13, afternotok:12)")
        for job_id in jobs:
            if not _JOB_ID.fullmatch(job_id):
                raise Wrong(f"is not a dependency: {shown(job_id)} is not a job (12, or 12_3 for task 3 of an array)")
            found.append(Dependency(kind, job_id))
    return tuple(dict.fromkeys(found))


def env_key(text: str) -> str:
    if not _ENV_KEY.fullmatch(text):
        raise Wrong("is not a variable's name (letters, digits and '_', not beginning with a digit)")
    if _OURS.fullmatch(text):
        raise Wrong("is set by beowulf for every rank and cannot be given")
    return text


def python_version(text: str) -> str:
    if not re.fullmatch(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?", text):
        raise Wrong("is not a Python version (3.11)")
    return text


def requirement(text: str) -> str:
    """One line of a requirements file. Raises `Wrong` for what would need further files."""
    wish = line(text).strip()
    if wish.startswith("-") and not re.match(
        r"(--index-url|-i|--extra-index-url|--find-links|-f)[ =]\s*https?://", wish
    ):
        raise Wrong("is an option this version does not take (only --index-url, --extra-index-url, --find-links)")
    return wish


def signal_name(text: str) -> str:
    """``USR1`` → ``SIGUSR1``."""
    return choice("SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP")("SIG" + text.removeprefix("SIG"))


def money_usd(text: str) -> float:
    """``2.50`` or ``$2.50``, above 0."""
    amount = text.removeprefix("$")
    if not _DECIMAL.fullmatch(amount):
        raise Wrong("is not an amount of US dollars (2.50)")
    if not 0.0 < float(amount) <= MAX_USD:
        raise Wrong(f"is not between 0 and {MAX_USD:.0f} US dollars")
    return float(amount)


def mlflow_address(text: str) -> str:
    """What `mlflow.set_tracking_uri` documents, but for bare folders: a server, Databricks, a database, ``file:/…``."""
    if not _MLFLOW.fullmatch(text):
        raise Wrong(
            "is no address that MLflow knows (http://HOST:PORT, https://…, databricks://PROFILE, "
            "postgresql://… or another database, file:/FOLDER)"
        )
    return text


def site(text: str) -> str:
    """``lab``, ``aws``, ``aws:us-east-1``; ``aws/us-east-1`` is the same as the last."""
    if not _SITE.fullmatch(text):
        raise Wrong("is not a site (lab, aws, aws:us-east-1)")
    return text.replace("/", ":")

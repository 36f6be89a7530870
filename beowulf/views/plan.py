"""What a dry run says of a job, and what the queue starts next, in lines and rows for CLI and TUI."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from beowulf.views.amounts import bytes_amount, clock_time, duration, in_local_time
from beowulf.views.fields import Json, count, inner, items, number, text
from beowulf.views.hosts import compress_hosts
from beowulf.views.text import printable

NEXT_COLUMNS = ("JOBID", "NAME", "USER", "STARTS", "ENDS BY", "NODES")
AT_START = {
    "MASTER_PORT": "(chosen when it starts)",
    **dict.fromkeys(("BEOWULF_JOB_ID", "SLURM_JOB_ID"), "(its number)"),
    "BEOWULF_ATTEMPT": "(1 at first)",
}
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


def plan_lines(answer: Json) -> list[str]:
    """The verdict, the place, the commands, the environment, what travels and what it costs."""
    lines = [in_local_time(_verdict(answer)), *_held(answer), *_staging(answer)]
    commands = items(answer, "commands")
    if commands:
        lines += ["", "Commands:"]
        lines += [f"  {text(one, 'node')} {text(one, 'process')}  {_typed(one)}" for one in commands]
    return [printable(line) for line in (*lines, *_environment(items(answer, "ranks")))]


def _typed(command: Json) -> str:
    """As one would type it, on one line: line breaks as bash's ``$'…\\n…'``."""
    return " ".join(_quoted(str(word)) for word in items(command, "argv"))


def _quoted(word: str) -> str:
    if "\n" not in word:
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return f"$'{escaped}'"


def _verdict(answer: Json) -> str:
    tasks = count(answer, "tasks")
    if answer.get("fits"):
        return f"the first of {tasks} tasks would start now" if tasks > 1 else "would start now"
    if answer.get("fits_idle"):
        return f"would wait: {text(answer, 'reason')}"
    return f"cannot run here: {text(answer, 'reason_idle') or text(answer, 'reason')}"


def _held(answer: Json) -> list[str]:
    shares = items(inner(answer, "allocation"), "shares")
    if not shares:
        return []
    held = inner(answer, "held")
    threads, gpus, longest_s = (number(held, name) for name in ("threads", "gpus", "longest_s"))
    what = f"{threads:g} thread{'s' * (threads != 1)}" + (f" and {gpus:g} GPU{'s' * (gpus != 1)}" if gpus else "")
    where = compress_hosts(text(share, "node") for share in shares)
    hours = f", {threads * longest_s / 3600:.2f} thread-hours" if longest_s else ""
    long = f"at most {duration(longest_s)}{hours}" if longest_s else "no max_duration"
    return [f"on {where}: {what}, {long}; {_cost(number(held, 'hourly_usd'), longest_s)}"]


def _cost(hourly_usd: float, longest_s: float) -> str:
    if not hourly_usd:
        return "costs nothing there"
    most = f", at most ${hourly_usd * longest_s / 3600:.2f}" if longest_s else ""
    return f"${hourly_usd:.2f} an hour for what is rented already{most}"


def _staging(answer: Json) -> list[str]:
    staging = inner(answer, "staging")
    lines = []
    for tree in items(staging, "trees"):
        files = count(tree, "files")
        amount = f"{files} file{'s' * (files != 1)}, {bytes_amount(int(number(tree, 'size_bytes')))}"
        held = "the head has it" if tree.get("at_head") else "goes to the head first"
        lines.append(f"travels to each node: {text(tree, 'source')} ({amount}; {held}) to {text(tree, 'target')}")
    python, packages = text(staging, "python"), [str(line) for line in items(staging, "requirements")]
    if python or packages:
        wanted = ", ".join([*([f"Python {python}"] if python else []), *packages])
        lines.append(f"environment, built once per kind of node and kept: {wanted}")
    if text(staging, "setup"):
        lines.append(f"setup on each node: {text(staging, 'setup').strip().replace(chr(10), '; ')}")
    return lines


def _environment(ranks: Sequence[Json]) -> list[str]:
    """What all ranks share, and what the first has besides: the others' differ likewise."""
    if not ranks:
        return []
    envs = [{name: _told(name, value) for name, value in inner(rank, "env").items()} for rank in ranks]
    shared = {name: value for name, value in envs[0].items() if all(env.get(name) == value for env in envs)}
    lines = ["", "Environment of every rank:", *(f"  {name}={value}" for name, value in sorted(shared.items()))]
    own = [f"  {name}={value}" for name, value in sorted(envs[0].items()) if name not in shared]
    if not own:
        return lines
    first = f"Of rank {int(number(ranks[0], 'rank'))} on {text(ranks[0], 'node')} alone (--json has all ranks):"
    return [*lines, "", first, *own]


def _told(name: str, value: object) -> object:
    """Dry runs end up in logs of others: what looks like a secret by its name stays untold."""
    return "(not shown)" if SECRET.search(name) else AT_START.get(name) or _shown(str(value))


def _shown(value: str) -> str:
    """With as much of a digest as tells it apart, and the node's own PATH by its name."""
    return DIGEST.sub(r"\1…", value).replace("{path}", "$PATH")


def next_rows(answer: Json, *, utc: bool = False) -> list[tuple[str, ...]]:
    """In the order of `NEXT_COLUMNS`, the soonest first."""
    return [_next(one, number(answer, "now"), utc) for one in items(answer, "starts")]


def _next(one: Json, now: float, utc: bool) -> tuple[str, ...]:
    at, ends_at = number(one, "at"), number(one, "ends_at")
    cells = (
        text(one, "job_id"),
        text(one, "name"),
        text(one, "owner"),
        "now" if at <= now else clock_time(at, utc=utc),
        clock_time(ends_at, utc=utc),
        compress_hosts(map(str, items(one, "nodes"))),
    )
    return tuple(map(printable, cells))

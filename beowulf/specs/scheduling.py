"""The settings file's section ``scheduler`` → `Rules`."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from beowulf.model.rules import (
    EVERYBODY,
    PLACEMENT_NAMES,
    POLICY_NAMES,
    Maintenance,
    Project,
    Quota,
    Rules,
    ServiceClass,
    Weights,
)
from beowulf.specs import gpus, quantities, words
from beowulf.specs.complaints import Complaints, Wrong, shown
from beowulf.specs.kinds import Fields, Key, Many, MapOf, Record, Word


def decimal(low: float, high: float) -> Word:
    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise Wrong("is not a number (0.5)")
        if not low <= float(text) <= high:
            raise Wrong(f"is not between {low:g} and {high:g}")
        return float(text)

    return Word(f"a number from {low:g} to {high:g}", read, {"type": "number", "minimum": low, "maximum": high})


def _moment(text: str) -> float:
    """``2026-12-01T08:00`` in UTC, or with an offset (``+01:00``) → seconds since the epoch."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong("is not a moment (2026-12-01T08:00, in UTC, or 2026-12-01T08:00+01:00)") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds) or seconds < 0:
        raise Wrong("is before 1970")
    return seconds


def _anybody(text: str) -> str:
    return text if text == EVERYBODY else quantities.name(text)


_scope = Word("a name, or * for each one by itself", _anybody, words.TEXT)
_classes = words.many(words.name, "a class or a list of classes")

WEIGHTS = Record(
    (
        Key("age", decimal(0.001, 1e6), "For waiting `age_full` long; it goes on growing.", "1"),
        Key("fair_share", decimal(0, 1e6), "For having used nothing lately; half of it for just one's share.", "2"),
        Key("size", decimal(0, 1e6), "For being small and short; nothing without `max_duration`.", "0.5"),
        Key("service_class", decimal(0, 1e6), "Times the weight of the job's class.", "4"),
    ),
    "what each factor of a job's rank counts",
)
SERVICE_CLASS = Record(
    (
        Key("weight", decimal(0, 1), "How much of `weights.service_class` its jobs get.", "0"),
        Key("preempts", _classes, "Classes whose running jobs are queued again to make room."),
        Key("grace", words.duration, "Its own jobs are not preempted before they ran this long.", "30m"),
    ),
    "weight, preempts, grace",
)
_most = words.whole(0, 1_000_000)
QUOTA = Record(
    (
        Key("user", _scope, "Whose jobs count; left out: everybody's together."),
        Key("queue", _scope, "Of which queue; left out: of all together."),
        Key("project", _scope, "Of which project; left out: of all together."),
        Key("accelerator", Word("RTX3090", gpus.gpu_kind, words.TEXT), "Of which kind of GPU."),
        Key("gpus", _most, "At most so many GPUs at once.", also=("accelerators",)),
        Key("cpus", _most, "At most so many hardware threads at once."),
        Key("jobs", _most, "At most so many running jobs."),
    ),
    "user, queue, project, accelerator; gpus, cpus, jobs",
)
PROJECT = Record(
    (
        Key("share", decimal(0.001, 1e6), "What is due to all of it together.", "1"),
        Key("users", words.names, "Whose jobs are its unless they say otherwise; nobody else may name it.", "anybody"),
    ),
    "share, users",
)
MAINTENANCE = Record(
    (
        Key("nodes", words.host_list, "The machines."),
        Key("from", Word("2026-12-01T08:00, in UTC", _moment, words.TEXT), "No job runs into this moment."),
        Key("for", words.duration, "How long."),
        Key("reason", words.line, "Shown to whoever waits."),
    ),
    "nodes, from, for, reason",
)
SCHEDULER = Record(
    (
        Key("policy", words.choice(*POLICY_NAMES), "Who goes first, and what those that wait keep.", "fair"),
        Key(
            "placement",
            words.choice(*PLACEMENT_NAMES),
            "What the choice among unequal devices serves: the soonest end, the fastest that is free, an end no later "
            "than on an equal share, the least money, or nothing.",
            "makespan",
        ),
        Key(
            "device_costs",
            MapOf(gpus.gpu_kind, words.money, "{V100: 2.48}"),
            "US dollars for one device (or thread) of a kind and hour, for `placement: cost`.",
        ),
        Key("reservations", words.whole(0, 1000), "Waiting jobs that get one; 0: as the policy says.", "0"),
        Key("weights", WEIGHTS, "What each factor of a job's rank counts."),
        Key("age_full", words.duration, "Waiting this long counts `weights.age`.", "1d"),
        Key("half_life", words.duration, "After this long, use counts half for the fair share.", "7d"),
        Key("shares", MapOf(quantities.name, decimal(0.001, 1e6), "{alice: 2}"), "What is due to a user.", "1 each"),
        Key("projects", MapOf(quantities.name, PROJECT, "{vision: {share: 2}}"), "What jobs are for."),
        Key("classes", MapOf(quantities.name, SERVICE_CLASS, "{urgent: {weight: 1}}"), "Classes of jobs."),
        Key("quotas", Many(QUOTA, "a list of quotas", single=False), "What may be in use at once."),
        Key("estimates", words.flag, "Judge jobs without max_duration by earlier runs of their kind.", "true"),
        Key(
            "moves",
            words.flag,
            "A job with `checkpoint` and `steps` goes on elsewhere when much faster devices are free.",
            "true",
        ),
        Key("maintenance", Many(MAINTENANCE, "a list", single=False), "Machines that are needed for something else."),
    ),
    "who goes first, and how much",
)
LEAST_HALF_LIFE_S = 3600.0


def check(fields: Fields, to: Complaints) -> None:
    """What no key can see alone."""
    classes: dict[str, Fields] = fields.get("classes", {})
    for name, one in classes.items():
        preempts: tuple[str, ...] = one.get("preempts", ())
        for other in preempts:
            if other not in classes:
                to.add(one.at("preempts"), f"scheduler.classes.{name} preempts {shown(other)}, which is no class here")
            elif other == name:
                to.add(one.at("preempts"), f"scheduler.classes.{name} preempts itself")
    if fields.get("half_life", LEAST_HALF_LIFE_S) < LEAST_HALF_LIFE_S:
        to.add(fields.at("half_life"), "scheduler.half_life must be at least an hour")
    if fields.get("age_full", 60.0) < 60.0:
        to.add(fields.at("age_full"), "scheduler.age_full must be at least a minute")
    quotas: tuple[Fields, ...] = fields.get("quotas", ())
    for quota in quotas:
        if not {"gpus", "cpus", "jobs"} & set(quota.places):
            to.add(quota.place, "a quota limits nothing: add gpus, cpus or jobs")
        if "accelerator" in quota.places and "gpus" not in quota.places:
            to.add(quota.at("accelerator"), "a quota's accelerator needs gpus: how many of them")
    repairs: tuple[Fields, ...] = fields.get("maintenance", ())
    for repair in repairs:
        for key in ("nodes", "from", "for"):
            if key not in repair.places:
                to.add(repair.place, f"a maintenance needs {key}")


def rules_of(fields: Fields) -> Rules:
    base = Rules()
    weights: Fields = fields.get("weights", Fields(fields.place))
    classes: dict[str, Fields] = fields.get("classes", {})
    projects: dict[str, Fields] = fields.get("projects", {})
    quotas: tuple[Fields, ...] = fields.get("quotas", ())
    repairs: tuple[Fields, ...] = fields.get("maintenance", ())
    return Rules(
        policy=fields.get("policy", base.policy),
        placement=fields.get("placement", base.placement),
        device_usd=fields.get("device_costs", {}),
        depth=fields.get("reservations", base.depth),
        weights=Weights(
            weights.get("age", base.weights.age),
            weights.get("fair_share", base.weights.fair_share),
            weights.get("size", base.weights.size),
            weights.get("service_class", base.weights.service),
        ),
        age_full_s=fields.get("age_full", base.age_full_s),
        half_life_s=fields.get("half_life", base.half_life_s),
        shares=fields.get("shares", {}),
        projects={name: _project(one) for name, one in projects.items()},
        classes={name: _service(one) for name, one in classes.items()},
        quotas=tuple(_quota(one) for one in quotas),
        maintenance=tuple(_maintenance(one) for one in repairs),
        estimate=fields.get("estimates", base.estimate),
        moves=fields.get("moves", base.moves),
    )


def _service(fields: Fields) -> ServiceClass:
    base = ServiceClass()
    return ServiceClass(
        fields.get("weight", base.weight), fields.get("preempts", base.preempts), fields.get("grace", base.grace_s)
    )


def _project(fields: Fields) -> Project:
    return Project(fields.get("share", 1.0), fields.get("users", ()))


def _quota(fields: Fields) -> Quota:
    limits: dict[str, Any] = {name: fields.get(name, -1) for name in ("gpus", "cpus", "jobs")}
    user, queue, kind = fields.get("user", ""), fields.get("queue", ""), fields.get("accelerator", "")
    return Quota(user, queue, kind, project=fields.get("project", ""), **limits)


def _maintenance(fields: Fields) -> Maintenance:
    start: float = fields.get("from", 0.0)
    return Maintenance(fields.get("nodes", ()), start, start + fields.get("for", 0.0), fields.get("reason", ""))

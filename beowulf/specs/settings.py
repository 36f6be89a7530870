"""Settings file (``$BEOWULF_HOME/settings.yaml``) → `Settings`. A missing file means every default."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.model.renting import Renting
from beowulf.model.rules import Rules
from beowulf.model.tracking import Tracking
from beowulf.specs import document as doc
from beowulf.specs import hooks, paths, quantities, renting, scheduling, words
from beowulf.specs.complaints import Complaints
from beowulf.specs.hooks import Hook
from beowulf.specs.kinds import Fields, Key, Record, Word


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A node that fails ``failures`` times ``within_s`` is drained."""

    failures: int = 4
    within_s: float = 600.0


@dataclass(frozen=True, slots=True)
class KeepJobs:
    """How long, and how much of, logs and outputs of jobs that have ended stay on the head. None: without a limit."""

    max_age_s: float | None = None
    max_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the head's administrator may set. Times in seconds."""

    heartbeat_s: float = 5.0
    lease_s: float = 86400.0
    node_fail_after_s: float = 15.0
    lost_after_s: float = 600.0
    log_cap_mib: int = 1024
    quarantine: Quarantine = Quarantine()
    keep_jobs: KeepJobs = KeepJobs()
    resize_every_s: float = 300.0
    metrics_port: int = 0
    hooks: tuple[Hook, ...] = ()
    tracking: Tracking = Tracking()
    rules: Rules = Rules()
    renting: Renting = Renting()


QUARANTINE = Record(
    (
        Key("failures", words.whole(2, 1000), "So many failures …", "4"),
        Key("within_s", words.duration, "… within this time drain the node, until `nodes resume`.", "10m"),
    ),
    "when a node that keeps failing is left alone",
)
KEEP_JOBS = Record(
    (
        Key("age", words.duration, "What is older goes.", "it stays"),
        Key("size", words.memory, "So much in all: the oldest goes first, nothing of the last week.", "it stays"),
    ),
    "how long logs and outputs of jobs that have ended stay on the head",
)
TRACKING = Record(
    (
        Key(
            "mlflow",
            Word("http://HOST:PORT, or another address MLflow knows", quantities.mlflow_address, words.TEXT),
            "An MLflow server: ranks find it as MLFLOW_TRACKING_URI.",
        ),
        Key("experiment", words.name, "MLFLOW_EXPERIMENT_NAME of all jobs.", "the job's project, else its name"),
        Key(
            "tensorboard",
            Word("runs/", paths.inside, words.TEXT),
            "A folder below the work folder: ranks find it as TENSORBOARD_LOGGING_DIR.",
        ),
    ),
    "what ranks are told of where experiments are tracked",
)
SETTINGS = Record(
    (
        Key("heartbeat_s", words.duration, "Time between two signs of life on every link; three missed: down.", "5s"),
        Key("lease_s", words.duration, "How long a job goes on by itself while the head is away.", "24h"),
        Key("node_fail_after_s", words.duration, "A gang some of whose nodes are down so long is torn down.", "15s"),
        Key("lost_after_s", words.duration, "A job all of whose nodes are down so long is given up.", "10m"),
        Key("log_cap", words.memory, "Longest log of one process; what comes after is dropped and said so.", "1GB"),
        Key(
            "resize_every_s",
            words.duration,
            "How long a job with a range of nodes is left alone before it may take up more, or give some back.",
            "5m",
        ),
        Key(
            "metrics_port",
            words.whole(0, 65535),
            "Port of 127.0.0.1 that serves /metrics; 0: none.",
            "0",
        ),
        Key("hooks", hooks.HOOKS, "Who is told of what: webhooks, programs, mail and chats (docs/operations.md)."),
        Key("tracking", TRACKING, "Where experiments are tracked (docs/how-to.md)."),
        Key("keep_jobs", KEEP_JOBS, "How long logs and outputs of jobs that have ended stay on the head."),
        Key("quarantine", QUARANTINE, "When a node that keeps failing is left alone."),
        Key("scheduler", scheduling.SCHEDULER, "Who goes first, and how much anybody may have."),
        Key("clouds", renting.CLOUDS, "Where machines may be rented (docs/cloud.md)."),
        Key("burst", renting.BURST, "How long rented machines are kept, and how much they may cost."),
    )
)


def parse_settings(text: str, *, name: str) -> Settings:
    """Raises `BadInput` with one line per complaint, each ``file:line:col: …``."""
    complaints = Complaints()
    root = doc.read_document(text, name, complaints)
    complaints.raise_if_any()
    fields = SETTINGS.read(root, "", complaints) or Fields(root.place)
    _check(fields, complaints)
    complaints.raise_if_any()
    nothing = Fields(root.place)
    base = Settings()
    return Settings(
        heartbeat_s=fields.get("heartbeat_s", base.heartbeat_s),
        lease_s=fields.get("lease_s", base.lease_s),
        node_fail_after_s=fields.get("node_fail_after_s", base.node_fail_after_s),
        lost_after_s=fields.get("lost_after_s", base.lost_after_s),
        log_cap_mib=fields.get("log_cap", base.log_cap_mib),
        keep_jobs=_keep_jobs(fields.get("keep_jobs", nothing)),
        quarantine=_quarantine(fields.get("quarantine", nothing)),
        resize_every_s=fields.get("resize_every_s", base.resize_every_s),
        metrics_port=fields.get("metrics_port", base.metrics_port),
        hooks=hooks.hooks_of(fields.get("hooks", ())),
        tracking=_tracking(fields.get("tracking", nothing)),
        rules=scheduling.rules_of(fields.get("scheduler", nothing)),
        renting=renting.renting_of(fields.get("clouds", {}), fields.get("burst", nothing)),
    )


def _check(fields: Fields, to: Complaints) -> None:
    heartbeat: float = fields.get("heartbeat_s", Settings().heartbeat_s)
    lease: float = fields.get("lease_s", Settings().lease_s)
    scheduling.check(fields.get("scheduler", Fields(fields.place)), to)
    renting.check(fields.get("clouds", {}), fields.get("burst", Fields(fields.place)), to)
    hooks.check(fields.get("hooks", ()), to)
    if not 0.1 <= heartbeat <= 300:
        to.add(fields.at("heartbeat_s"), "heartbeat_s must be between 0.1 and 300 seconds")
    if lease < 6 * heartbeat:
        to.add(fields.at("lease_s"), f"lease_s must be at least six heartbeats ({6 * heartbeat:g} seconds)")


def _tracking(fields: Fields) -> Tracking:
    folder: str = fields.get("tensorboard", "")
    return Tracking(fields.get("mlflow", ""), fields.get("experiment", ""), folder.rstrip("/"))


def _keep_jobs(fields: Fields) -> KeepJobs:
    base = KeepJobs()
    return KeepJobs(fields.get("age", base.max_age_s), fields.get("size", base.max_mib))


def _quarantine(fields: Fields) -> Quarantine:
    base = Quarantine()
    return Quarantine(fields.get("failures", base.failures), fields.get("within_s", base.within_s))

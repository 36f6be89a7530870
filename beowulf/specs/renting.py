"""The settings file's sections ``clouds`` and ``burst`` → `Renting`."""

from __future__ import annotations

from beowulf.model.cloud import Offer
from beowulf.model.market import UNLIMITED
from beowulf.model.renting import Caps, Cloud, Renting
from beowulf.specs import gpus, quantities, words
from beowulf.specs.complaints import Complaints
from beowulf.specs.kinds import Fields, Key, Many, MapOf, Record, Word

PROVIDERS = ("aws", "azure", "gcp", "slurm")
LEAST_LEASE_S = 60.0
LEAST_STALE_S = 86400.0

MACHINE = Record(
    (
        Key("machine_type", words.name, "As the site names it: a partition of Slurm's."),
        Key("cpus", words.whole(1, 65_536), "Hardware threads of one."),
        Key("memory", words.memory, "Of one."),
        Key("accelerator", Word("A100", gpus.gpu_kind, words.TEXT), "The short name that job files use."),
        Key("accelerators", words.whole(1, 1024), "How many of them in one.", "1 where one is named"),
        Key("accelerator_memory", words.memory, "Of one of them."),
    ),
    "what one machine of a site has",
)
CLOUD = Record(
    (
        Key("provider", words.choice(*PROVIDERS), "Whose it is.", "the cloud's name"),
        Key("regions", words.names, "Where machines may be rented, first choice first."),
        Key("network", words.line, "The subnet they join, as the provider names it."),
        Key("image", words.line, "What they boot.", "the provider's own choice"),
        Key("user", words.name, "Whom the agent works as there; cloud-init makes that account.", "beowulf"),
        Key("endpoint", words.line, "Another address of the provider's API.", "the provider's own"),
        Key("template", words.path, "A cloud-init file.", "nodes/cloud-init/PROVIDER.yaml"),
        Key("machines", Many(MACHINE, "a list of machine types", single=False), "What a site of our own has."),
        Key("options", MapOf(quantities.name, words.line, "{name: value}"), "What only this provider takes."),
    ),
    "where machines may be rented",
)
_per_name = MapOf(quantities.name, words.money, "{alice: 50}")
BUDGET = Record(
    (
        Key("month", words.money, "The most that all may cost in a calendar month (UTC). Nothing is rented without."),
        Key("user", words.money, "The most each user may cost in a month.", "no limit"),
        Key(
            "project",
            words.money,
            "The most each project of job files (or where they name none, each queue) may cost in a month.",
            "no limit",
        ),
        Key("job", words.money, "The most each job may cost.", "no limit"),
        Key("users", _per_name, "Users with an amount of their own."),
        Key("projects", _per_name, "Projects with an amount of their own."),
    ),
    "how many US dollars may be spent",
)
BURST = Record(
    (
        Key("budget", BUDGET, "How many US dollars may be spent, at the very worst."),
        Key("lease", words.duration, "A machine ends itself so long after the head's last word.", "15m"),
        Key("idle_release", words.duration, "A machine without work is given back after so long.", "10m"),
        Key("ready_timeout", words.duration, "A machine that takes no jobs so long after its order is ended.", "15m"),
        Key("grace", words.duration, "A machine the provider does not list counts as gone after so long.", "1m"),
        Key("list_every", words.duration, "How often the provider's list is compared with ours.", "30s"),
        Key("keep_warm", words.whole(0, 1000), "So many idle machines are kept all the same.", "0"),
        Key("machines", words.whole(1, 1000), "The most that are rented at once.", "20"),
        Key("stale_after", words.duration, "A price that is older buys nothing.", "120d"),
    ),
    "how long rented machines are kept, and how much they may cost",
)
CLOUDS = MapOf(quantities.name, CLOUD, "{aws: {regions: [us-east-1]}}")


def check(clouds: dict[str, Fields], burst: Fields, to: Complaints) -> None:
    """What no key can see alone."""
    for name, cloud in clouds.items():
        machines: tuple[Fields, ...] = cloud.get("machines", ())
        for machine in machines:
            for key in ("machine_type", "cpus", "memory"):
                if key not in machine.places:
                    to.add(machine.place, f"clouds.{name}.machines: each needs {key}")
        if "provider" not in cloud.places and name not in PROVIDERS:
            to.add(cloud.place, f"clouds.{name} needs 'provider': one of {', '.join(PROVIDERS)}")
    if burst.get("lease", LEAST_LEASE_S) < LEAST_LEASE_S:
        to.add(burst.at("lease"), f"burst.lease must be at least {LEAST_LEASE_S:.0f} seconds")
    if burst.get("stale_after", LEAST_STALE_S) < LEAST_STALE_S:
        to.add(burst.at("stale_after"), "burst.stale_after must be at least a day: prices carry days, not hours")
    budget: Fields = burst.get("budget", Fields(burst.place))
    if clouds and "month" not in budget.places:
        to.add(burst.place, "machines may only be rented within a budget: add 'budget: {month: 50}' under 'burst'")


def renting_of(clouds: dict[str, Fields], burst: Fields) -> Renting:
    base = Renting()
    return Renting(
        lease_s=burst.get("lease", base.lease_s),
        idle_release_s=burst.get("idle_release", base.idle_release_s),
        ready_timeout_s=burst.get("ready_timeout", base.ready_timeout_s),
        grace_s=burst.get("grace", base.grace_s),
        list_every_s=burst.get("list_every", base.list_every_s),
        keep_warm=burst.get("keep_warm", base.keep_warm),
        machines=burst.get("machines", base.machines),
        stale_after_s=burst.get("stale_after", base.stale_after_s),
        caps=_caps(burst.get("budget", Fields(burst.place))),
        clouds=tuple(_cloud(name, one) for name, one in clouds.items()),
    )


def _caps(fields: Fields) -> Caps:
    return Caps(
        month_usd=fields.get("month", 0.0),
        user_usd=fields.get("user", UNLIMITED),
        project_usd=fields.get("project", UNLIMITED),
        job_usd=fields.get("job", UNLIMITED),
        users=fields.get("users", {}),
        projects=fields.get("projects", {}),
    )


def _machine(fields: Fields) -> Offer:
    accelerator: str = fields.get("accelerator", "")
    return Offer(
        provider="",
        region="",
        zone="",
        machine_type=fields.get("machine_type", ""),
        cpus=fields.get("cpus", 1),
        memory_mib=fields.get("memory", 0),
        accelerator=accelerator,
        accelerators=fields.get("accelerators", 1 if accelerator else 0),
        accelerator_memory_mib=fields.get("accelerator_memory", 0),
    )


def _cloud(name: str, fields: Fields) -> Cloud:
    machines: tuple[Fields, ...] = fields.get("machines", ())
    return Cloud(
        name=name,
        provider=fields.get("provider", name),
        regions=fields.get("regions", ()),
        network=fields.get("network", ""),
        image=fields.get("image", ""),
        user=fields.get("user", ""),
        endpoint=fields.get("endpoint", ""),
        machines=tuple(_machine(one) for one in machines),
        template=str(fields.get("template", "")),
        options=fields.get("options", {}),
    )

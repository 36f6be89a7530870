"""The job file's section ``burst`` → `Burst`."""

from __future__ import annotations

from beowulf.model.job import Burst
from beowulf.specs import words
from beowulf.specs.complaints import Complaints
from beowulf.specs.kinds import Fields, Key, Record

SPOT_POLICY = words.choice("auto", "spot", "on-demand")
BURST = Record(
    (
        Key(
            "policy",
            words.choice("never", "auto", "prefer"),
            "`auto`: machines are rented when the job then ends sooner, or in time, for money it may spend; `prefer`: "
            "whenever it waits and may.",
            "never",
        ),
        Key("use_spot", words.flag, "Cheaper machines that the provider may take back.", "true"),
        Key(
            "spot_policy",
            SPOT_POLICY,
            "`on-demand`: as `use_spot: false`; `spot`: nothing but spot; `auto`: spot as long as the deadline allows.",
            "auto",
        ),
        Key("max_price", words.money, "The most one machine may cost in an hour."),
        Key("budget", words.money, "The most the whole job may cost."),
        Key("deadline", words.duration, "The job shall have ended so long after it was submitted."),
        Key("results", words.memory, "How much it brings home: providers take money for that."),
        Key("providers", words.names, "Only these providers.", "all that are configured"),
    ),
    "whether machines may be rented, and for how much",
)


def check(fields: Fields, to: Complaints) -> None:
    """What no key of the section can see alone. ``fields``: the whole job's."""
    burst: Fields = fields.get("burst", Fields(fields.place))
    if "spot_policy" in fields.places and {"spot_policy", "use_spot"} & set(burst.places):
        to.add(fields.at("spot_policy"), "spot_policy is said twice: keep the one under 'burst'")
    if {"spot_policy", "use_spot"} <= set(burst.places):
        to.add(burst.at("spot_policy"), "burst.spot_policy and burst.use_spot exclude each other: keep one")
    if burst.get("policy", "never") == "never":
        for key in ("max_price", "budget", "deadline", "results", "providers"):
            if key in burst.places:
                to.add(
                    burst.at(key), f"burst.{key} needs 'policy: auto' or 'policy: prefer': nothing is rented without"
                )


def read(fields: Fields, spot_policy: str) -> Burst:
    """``spot_policy``: the one beside the section."""
    spot = fields.get("spot_policy", spot_policy)
    return Burst(
        policy=fields.get("policy", "never"),
        use_spot=fields.get("use_spot", spot != "on-demand"),
        on_demand=spot != "spot",
        max_price_usd=fields.get("max_price", 0.0),
        budget_usd=fields.get("budget", 0.0),
        deadline_s=fields.get("deadline", 0.0),
        results_mib=fields.get("results", 0),
        providers=fields.get("providers", ()),
    )

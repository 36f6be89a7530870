"""The job file's section ``burst`` → `Burst`."""

from __future__ import annotations

from beowulf.model.job import SELDOM, Burst
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
        Key(
            "stretch",
            words.flag,
            "Rented machines may join free nodes here in one gang, where that ends soonest (docs/cloud.md). Needs "
            "`communication: {mode: local-sgd}` or `diloco`, `steps` and `model`.",
            "false",
        ),
        Key("model", words.memory, "How much the model's parameters are, for the price of `stretch`."),
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
        for key in ("max_price", "budget", "deadline", "results", "providers", "stretch", "model"):
            if key in burst.places:
                to.add(
                    burst.at(key), f"burst.{key} needs 'policy: auto' or 'policy: prefer': nothing is rented without"
                )
    if burst.get("stretch", False):
        _check_stretch(fields, burst, to)
    elif "model" in burst.places:
        to.add(burst.at("model"), "burst.model is for 'stretch: true': it says what ranks at two sites exchange")


def _check_stretch(fields: Fields, burst: Fields, to: Complaints) -> None:
    torchrun: Fields = fields.get("torchrun", Fields(fields.place))
    communication: Fields = fields.get("communication", Fields(fields.place))
    low, _ = fields.get("num_nodes", (1, 1))
    needs = {
        f"'communication: {{mode: {SELDOM[0]}}}' or '{SELDOM[1]}': others wait for the line at every step": (
            communication.get("mode", "exact") in SELDOM
        ),
        "'launcher: torchrun' without 'elastic'": (
            fields.get("launcher", "command") == "torchrun" and not torchrun.get("elastic", False)
        ),
        "'num_nodes: 2' or more": low > 1,
        "'steps: N', its optimizer steps: they say how often its ranks exchange": bool(fields.get("steps", 0)),
        "'model: 50MB', its parameters: they are what its ranks exchange": bool(burst.get("model", 0)),
    }
    for need, met in needs.items():
        if not met:
            to.add(burst.at("stretch"), f"burst.stretch needs {need}")


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
        stretch=fields.get("stretch", False),
        model_mib=fields.get("model", 0),
    )

"""``beowulf cloud offers``: by the files alone, without a head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from beowulf.cli.common import Said
from beowulf.cli.root import beowulf, run

OWN = """\
defaults: {as_of: 2026-11-25, source: me}
offers:
  - {provider: aws, region: r, machine_type: dear, cpus: 4, memory: 16GB, accelerator: T4, price: 2}
  - {provider: aws, region: r, machine_type: cheap, cpus: 4, memory: 16GB, accelerator: T4, price: 1, spot_price: 0.5}
  - {provider: gcp, region: r, machine_type: trainer, cpus: 4, memory: 16GB, accelerator: P100, price: 1}
  - {provider: gcp, region: r, machine_type: plain, cpus: 4, memory: 16GB, price: 0.1}
"""


def offered(*arguments: str) -> list[str]:
    ran = CliRunner().invoke(beowulf, ["cloud", "offers", "--json", *arguments])
    assert ran.exit_code == 0, ran.output
    return [one["machine_type"] for one in json.loads(ran.stdout)["offers"]]


def test_what_is_on_offer_the_cheapest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEOWULF_HOME", str(tmp_path))
    assert "g4dn.xlarge" in offered()  # what ships
    (tmp_path / "catalogue.yaml").write_text(OWN)
    assert offered() == ["plain", "cheap", "trainer", "dear"]
    assert offered("--gpu", "t4") == ["cheap", "dear"]
    assert offered("--for", "inference") == ["cheap", "dear"]
    assert offered("--for", "training", "--provider", "gcp") == ["trainer"]
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(beowulf, ["cloud", "offers"], obj=Said()).stdout
    assert "2026-11-25" in shown and "me" in shown


def test_a_catalogue_that_cannot_be_read_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEOWULF_HOME", str(tmp_path))
    (tmp_path / "catalogue.yaml").write_text(OWN.replace("price: 2}", "price: nan}"))
    assert run(["cloud", "offers"]) == 2

"""What the planner of a head knows before anybody told it anything."""

from __future__ import annotations

from pathlib import Path

from beowulf.daemon.home import Home
from beowulf.daemon.service import read_settings


def test_a_head_without_settings_knows_what_data_sheets_say_of_accelerators(tmp_path: Path) -> None:
    market = read_settings(Home(tmp_path)).rules.market
    assert market.accelerators["V100"].speed > market.accelerators["K80"].speed > 0.0 and market.offers == ()

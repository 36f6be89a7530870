"""The scheduler's bench runs, and its plot shows what it printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

BENCH = Path(__file__).parents[2] / "scripts/bench/scheduler"
SPACE = "{http://www.w3.org/2000/svg}"


def ran(*words: str) -> str:
    return subprocess.run(
        [sys.executable, str(BENCH), "--short", *words], capture_output=True, text=True, check=True
    ).stdout


def test_the_plot_has_the_points_of_the_table_beside_n_log_n(tmp_path: Path) -> None:
    plot = tmp_path / "growth.svg"
    out = ran("--only", "plans", "--plot", str(plot))
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) \| ([\d.]+) s \|", out, re.MULTILINE)
    assert [size for size, *_ in rows] == ["1,000", "3,000"]
    lines = ElementTree.fromstring(plot.read_text()).findall(f"{SPACE}polyline")
    dashed, solid = ([tuple(map(float, spot.split(","))) for spot in line.get("points", "").split()] for line in lines)
    assert lines[0].get("stroke-dasharray") and len(solid) == len(dashed) == len(rows)
    assert solid[-1] == dashed[-1]  # both go through the last point
    first, second = (float(seconds) for *_, seconds in rows)
    assert first == second or (solid[1][1] < solid[0][1]) == (second > first)  # up is dear
    assert "after gc.freeze" in out


def test_the_simulators_pace_has_a_row_per_policy() -> None:
    out = ran("--only", "simulator", "--policies", "easy,fair")
    assert re.search(r"^\| easy \| [\d,]+ \|", out, re.MULTILINE) and re.search(
        r"^\| fair \| [\d,]+ \|", out, re.MULTILINE
    )


def test_placements_are_measured_against_a_first_come_first_served_of_its_own() -> None:
    out = ran("--only", "gavel", "--machines", "8 K80, 8 P100, 8 V100", "--placements", "short/makespan")
    ratios = dict(re.findall(r"^\| (\S+) \| [\d.]+ h \| ([\d.]+) \|", out, re.MULTILINE))
    assert float(ratios["short/makespan"]) <= 0.5

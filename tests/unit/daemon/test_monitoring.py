"""The alert rules and the dashboard that ship: promtool takes them, and the head tells every figure they ask for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from beowulf.daemon.metrics import Metrics
from beowulf.model.snapshot import Snapshot

FOLDER = Path(__file__).parents[3] / "nodes" / "monitoring"
PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yaml"), ("check", "config", "prometheus.yaml"), ("test", "rules", "alerts-test.yaml")],
    ids=" ".join,
)
def test_promtool_takes_it(arguments: tuple[str, ...]) -> None:
    said = subprocess.run([str(PROMTOOL), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("name", ["alerts.yaml", "grafana-dashboard.json"])
def test_the_head_tells_every_figure_that_is_asked_for(name: str) -> None:
    asked = set(re.findall(r"\bbeowulf_[a-z_]+", (FOLDER / name).read_text()))
    metrics = Metrics(Snapshot, lambda: 0, lambda after, limit, job: (), dict)
    told = {family.name for family in text_string_to_metric_families(metrics.text().decode())}
    assert len(asked) > 5
    assert {re.sub(r"_(total|bucket)$", "", figure) for figure in asked} <= told


def test_panels_stand_beside_each_other() -> None:
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)

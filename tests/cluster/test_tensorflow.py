"""A stock MultiWorkerMirroredStrategy script over two real SSH hosts. Slow: 270 MB of TensorFlow travel to each."""

from __future__ import annotations

import json
import re

import pytest
from real_head import RealHead

from beowulf.lab import Lab


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_mnist_like_digits_train_over_two_hosts(lab: Lab, head: RealHead) -> None:
    done = head.cli("submit", "--wait", "jobs/mnist-tensorflow.yaml", "--nodelist", "n[1-2]", timeout=1700)
    job = head.client.jobs(limit=1)[0]
    said = [head.text(job["id"], str(rank)).decode() for rank in (0, 1)]
    assert done.returncode == 0, done.stdout + done.stderr + said[0][-2000:]
    result = json.loads((head.home / "jobs" / job["id"] / "outputs" / "results" / "accuracy.json").read_text())
    assert result["accuracy"] >= 0.95 and result["workers"] == 2
    # Synchronous training: both hold the same weights in the end.
    ends = {re.findall(r"epoch 15: loss (\S+), test accuracy (\S+) %", text)[0] for text in said}
    assert len(ends) == 1 and f"{100 * result['accuracy']:.2f}" in ends.pop()

"""One task of a sweep: the long-run behaviour of x → r·x·(1 − x) for this task's growth rate r."""

import json
import os
from pathlib import Path


def orbit(rate: float, settle: int = 20_000, keep: int = 64) -> list:
    """The values visited after ``settle`` steps."""
    x = 0.5
    for _ in range(settle):
        x = rate * x * (1 - x)
    visited = []
    for _ in range(keep):
        x = rate * x * (1 - x)
        visited.append(round(x, 6))
    return visited


def main() -> None:
    task = int(os.environ.get("SLURM_ARRAY_TASK_ID", "1"))
    rate = 2.8 + 0.1 * (task - 1)
    values = sorted(set(orbit(rate)))
    behaviour = f"settles on {len(values)} value(s)" if len(values) <= 16 else "never settles (chaos)"
    print(f"task {task}: r = {rate:.1f} {behaviour}, between {values[0]:.4f} and {values[-1]:.4f}")
    results = Path("results")
    results.mkdir(exist_ok=True)
    result = {"task": task, "rate": round(rate, 1), "values": len(values), "behaviour": behaviour}
    (results / f"task-{task}.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

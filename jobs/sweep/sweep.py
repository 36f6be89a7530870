"""One task of a sweep: softmax regression on scikit-learn's handwritten digits with this task's learning rate.

After each epoch it appends a line to the file that BEOWULF_REPORT names: from those the head makes the sweep's table.
"""

import json
import os
from pathlib import Path

import numpy
from sklearn.datasets import load_digits

EPOCHS = 20
BATCH = 32
SEED = 20
TEST = 360


def main() -> None:
    task = int(os.environ.get("SLURM_ARRAY_TASK_ID", "1"))
    rate = float(f"{1e-3 * 10 ** ((task - 1) * 4 / 11):.3g}")  # 0.001 to 10
    (x, y), test = digits()
    weights = numpy.zeros((x.shape[1], 10))
    draw = numpy.random.default_rng(SEED)
    for epoch in range(1, EPOCHS + 1):
        order = draw.permutation(len(y))
        for start in range(0, len(y), BATCH):
            chosen = order[start : start + BATCH]
            weights -= rate * x[chosen].T @ (softmax(x[chosen] @ weights) - numpy.eye(10)[y[chosen]]) / len(chosen)
        loss, accuracy = judged(weights, *test)
        report(rate=rate, epoch=epoch, loss=loss, accuracy=accuracy)
    print(f"task {task}: learning rate {rate:g}, test loss {loss:.4f}, test accuracy {100 * accuracy:.2f} %")
    results = Path("results")
    results.mkdir(exist_ok=True)
    result = {"task": task, "rate": rate, "loss": loss, "accuracy": accuracy}
    (results / f"task-{task}.json").write_text(json.dumps(result) + "\n")


def digits() -> tuple:
    """``((pictures, labels) to learn from, (pictures, labels) to test with)``; the last column is the constant one."""
    pictures, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(SEED).permutation(len(labels))
    x = numpy.hstack([pictures[order] / 16.0, numpy.ones((len(labels), 1))])
    y = labels[order]
    return (x[:-TEST], y[:-TEST]), (x[-TEST:], y[-TEST:])


def softmax(scores: numpy.ndarray) -> numpy.ndarray:
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def judged(weights: numpy.ndarray, x: numpy.ndarray, y: numpy.ndarray) -> tuple:
    """Mean loss and accuracy."""
    probabilities = softmax(x @ weights)
    loss = -numpy.log(probabilities[numpy.arange(len(y)), y] + 1e-12).mean()
    return round(float(loss), 6), round(float((probabilities.argmax(axis=1) == y).mean()), 6)


def report(**values: float) -> None:
    """One line for the head, where it asked for reports."""
    file = os.environ.get("BEOWULF_REPORT")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()

"""Train a small convolutional network on scikit-learn's handwritten digits with MultiWorkerMirroredStrategy.

A stock script: all it knows of the other workers stands in TF_CONFIG, and without that it runs alone. Ends with an
error when fewer than 95 % of the test digits are read rightly.
"""

import json
import os
import sys
from pathlib import Path

import numpy
import tensorflow as tf
from sklearn.datasets import load_digits

EPOCHS = 15
BATCH = 64  # over all workers together
GOAL = 0.95
SEED = 20


def main() -> int:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    tf.keras.utils.set_random_seed(SEED)
    worker = strategy.cluster_resolver.task_id or 0
    print(f"worker {worker} of {strategy.num_replicas_in_sync}", flush=True)
    (x, y), (test_x, test_y) = digits()
    with strategy.scope():
        model = network()
    steps = len(x) // BATCH
    data = batches(x, y).repeat()
    model.fit(data, epochs=EPOCHS, steps_per_epoch=steps, verbose=2 if worker == 0 else 0, callbacks=[Report()])
    # A replica's own variables are whole: every worker reads all test digits, without asking the others.
    accuracy = right(model, test_x, test_y)
    print(f"worker {worker}: test accuracy {100 * accuracy:.2f} %", flush=True)
    if worker == 0:
        save(accuracy, strategy.num_replicas_in_sync)
    return 0 if accuracy >= GOAL else 1


def digits() -> tuple:
    """1,797 pictures of 8 × 8 points, shuffled alike on every worker; the last 360 are kept for the test."""
    pictures, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(SEED).permutation(len(labels))
    x = (pictures[order] / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    y = labels[order].astype("int64")
    return (x[:-360], y[:-360]), (x[-360:], y[-360:])


def batches(x: numpy.ndarray, y: numpy.ndarray) -> "tf.data.Dataset":
    """Batches of the whole cluster; the strategy gives every worker its part."""
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=SEED).batch(BATCH, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def network() -> "tf.keras.Model":
    model = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1)),
            tf.keras.layers.Conv2D(32, 3, activation="relu"),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


def right(model: "tf.keras.Model", x: numpy.ndarray, y: numpy.ndarray) -> float:
    return float((model(x, training=False).numpy().argmax(1) == y).mean())


class Report(tf.keras.callbacks.Callback):
    """One line for the head after each epoch, where it asked for reports."""

    def on_epoch_end(self, epoch: int, logs: "dict | None" = None) -> None:
        file = os.environ.get("BEOWULF_REPORT")
        if file:
            values = {key: round(float(value), 6) for key, value in (logs or {}).items()}
            with open(file, "a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": epoch + 1, **values}) + "\n")


def save(accuracy: float, workers: int) -> None:
    results = Path("results")
    results.mkdir(exist_ok=True)
    body = {"accuracy": accuracy, "workers": workers, "goal": GOAL}
    (results / "accuracy.json").write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""Train a small convolutional network on scikit-learn's handwritten digits with MultiWorkerMirroredStrategy.

A stock script: all it knows of the other workers stands in TF_CONFIG, and without that it runs alone. The loop is
written out because Keras 3's ``fit`` does not take this strategy (keras-team/keras#20585). Ends with an error when
fewer than 95 % of the test digits are read rightly.
"""

import json
import os
import sys
from collections.abc import Callable
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
        optimizer = tf.keras.optimizers.Adam(3e-3)
        optimizer.build(model.trainable_variables)
    step = step_of(strategy, model, optimizer)
    for epoch in range(1, EPOCHS + 1):
        losses = [float(step(batch)) for batch in strategy.experimental_distribute_dataset(batches(x, y, epoch))]
        loss, accuracy = sum(losses) / len(losses), right(model, test_x, test_y)
        report(step=epoch * len(losses), loss=loss, accuracy=accuracy)
        print(f"epoch {epoch:2d}: loss {loss:.4f}, test accuracy {100 * accuracy:.2f} %", flush=True)
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


def batches(x: numpy.ndarray, y: numpy.ndarray, epoch: int) -> "tf.data.Dataset":
    """Batches of the whole cluster; the strategy gives every worker its part."""
    order = numpy.random.default_rng(SEED + epoch).permutation(len(y))
    data = tf.data.Dataset.from_tensor_slices((x[order], y[order])).batch(BATCH, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def network() -> "tf.keras.Model":
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1)),
            tf.keras.layers.Conv2D(32, 3, activation="relu"),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )


def step_of(strategy: "tf.distribute.Strategy", model: "tf.keras.Model", optimizer: "tf.keras.Optimizer") -> Callable:
    """One step of all workers on a batch, as a function that gives the batch's mean loss."""

    def replica(batch: tuple) -> "tf.Tensor":
        x, y = batch
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True))
            loss = tf.nn.compute_average_loss(losses, global_batch_size=BATCH)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    @tf.function
    def step(batch: tuple) -> "tf.Tensor":
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(replica, args=(batch,)), axis=None)

    return step


def right(model: "tf.keras.Model", x: numpy.ndarray, y: numpy.ndarray) -> float:
    """A replica's own variables are whole: every worker reads all test digits, without asking the others."""
    return float((model(x, training=False).numpy().argmax(1) == y).mean())


def report(**values: float) -> None:
    """One line for the head, where it asked for reports."""
    file = os.environ.get("BEOWULF_REPORT")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({key: round(value, 6) for key, value in values.items()}) + "\n")


def save(accuracy: float, workers: int) -> None:
    results = Path("results")
    results.mkdir(exist_ok=True)
    body = {"accuracy": accuracy, "workers": workers, "goal": GOAL}
    (results / "accuracy.json").write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

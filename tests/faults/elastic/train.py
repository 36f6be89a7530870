"""Digits over ranks that come and go: every step says which samples it took. Slow before attempt ``SLOW``,
which therefore comes long before the last step, however fast the machine is."""

import json
import os
import sys
import time

import numpy
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from beowulf import train

EPOCHS, BATCH, MICRO, SEED = 12, 128, 16, 20
QUICK = 20  # steps of an attempt after which it waits to be ended
SLOW = int(sys.argv[1])

pictures, labels = load_digits(return_X_y=True)
order = numpy.random.default_rng(SEED).permutation(len(labels))
x = torch.tensor(pictures[order] / 16.0, dtype=torch.float32)
y = torch.tensor(labels[order])
data = TensorDataset(x[:-360], y[:-360], torch.arange(len(y) - 360))

with train.session(SEED) as bw:
    network = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    model = bw.wrap(network)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = bw.loader(data, batch_size=BATCH, micro_batch=MICRO)
    bw.restore(optimizer=optimizer)
    print(json.dumps({"began": bw.cursor.step, "world": bw.world}), flush=True)
    taken = 0
    for epoch in bw.epochs(EPOCHS):
        for step, micro_batches in bw.steps(loader):
            start, mine = bw.cursor.samples, []
            for pictures, labels, numbers in micro_batches:
                bw.backward(nn.functional.cross_entropy(model(pictures), labels))
                mine += numbers.tolist()
            bw.step(optimizer)
            print(json.dumps({"epoch": epoch, "step": step, "from": start, "to": bw.cursor.samples, "mine": mine}))
            sys.stdout.flush()
            taken += 1
            if int(os.environ["BEOWULF_ATTEMPT"]) < SLOW:
                time.sleep(0.25 if taken < QUICK else 2)
        bw.checkpoint()
    network.eval()
    right = (network(x[-360:]).argmax(1) == y[-360:]).float().mean().item()
    bw.report(accuracy=right)
    print(json.dumps({"accuracy": right}), flush=True)
sys.exit(0 if right >= 0.95 else 1)

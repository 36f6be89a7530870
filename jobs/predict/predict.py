"""Data-parallel prediction of a checkpoint, in shards that survive whoever wrote them.

Shards are handed out one by one: unequal machines count in full. A finished shard lies, under its own name, in a
folder of its node that outlives the attempt (SHARDS, else ~/.cache/beowulf-predict/<job>); the next attempt begins by
asking every rank what its node has. At the end each node moves its shards to results/, from where they come home.

Rank 0 alone reads the checkpoint (model.pt; without one it trains a small model) and hands it to the others.
"""

import io
import json
import os
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn

SHARDS = 24
SEED = 20
GOAL = 0.95
PATIENCE = timedelta(minutes=10)


def main() -> int:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    address, port = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "29513"))
    # The ranks never wait for each other's arithmetic: a store to meet at is all they need.
    store = dist.TCPStore(address, port, world, is_master=rank == 0, timeout=PATIENCE)
    device = own_device()
    pictures, labels = load_digits(return_X_y=True)
    model = checkpoint(store, rank).to(device).eval()
    folder = shards_folder()
    todo = missing_shards(store, folder, rank, world)
    done = predict(store, model, torch.tensor(pictures / 16.0, dtype=torch.float32), todo, folder, device)
    print(f"rank {rank} computed {done} of {len(todo)} shards on {device}", flush=True)
    return finish(store, folder, labels, rank, world)


def own_device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def checkpoint(store: dist.Store, rank: int) -> nn.Module:
    """The model of rank 0's checkpoint, the same bytes on every rank."""
    if rank == 0:
        file = io.BytesIO()
        torch.save(torch.load("model.pt") if Path("model.pt").exists() else trained(), file)
        store.set("checkpoint", file.getvalue())
    model = network()
    model.load_state_dict(torch.load(io.BytesIO(store.get("checkpoint"))))
    return model


def trained() -> dict:
    """A model's state after a second of training, where nobody brought one."""
    torch.manual_seed(SEED)
    pictures, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pictures / 16.0, dtype=torch.float32), torch.tensor(labels)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.state_dict()


def shards_folder() -> Path:
    job = os.environ.get("BEOWULF_JOB", "alone").rpartition(".")[0] or "alone"  # cluster/job, without the attempt
    folder = Path(os.environ.get("SHARDS") or Path.home() / ".cache" / "beowulf-predict" / job.replace("/", "-"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def missing_shards(store: dist.Store, folder: Path, rank: int, world: int) -> list:
    """Those that no node has, the same list on every rank."""
    here = sorted(int(path.stem) for path in folder.glob("*.npy"))
    store.set(f"have {rank}", json.dumps(here))
    have = {shard for other in range(world) for shard in json.loads(store.get(f"have {other}"))}
    if rank == 0:
        print(f"{len(have)} of {SHARDS} shards were there already", flush=True)
    return [shard for shard in range(SHARDS) if shard not in have]


def predict(
    store: dist.Store, model: nn.Module, pictures: torch.Tensor, todo: list, folder: Path, device: torch.device
) -> int:
    """Takes shards until none is left; how many this rank computed."""
    rounds = int(os.environ.get("ROUNDS", "1"))  # more work per shard, to see how machines share it
    done = 0
    while True:
        turn = store.add("turn", 1) - 1
        if turn >= len(todo):
            return done
        begin = time.perf_counter()
        mine = pictures[todo[turn] :: SHARDS].to(device)
        with torch.no_grad():
            for _ in range(rounds):
                answers = model(mine).argmax(1)
        write(folder / f"{todo[turn]}.npy", answers.cpu().numpy())
        done += 1
        report(shard=todo[turn], shards=done, samples=len(mine), shard_s=time.perf_counter() - begin)


def write(path: Path, answers: numpy.ndarray) -> None:
    """Whole or not at all: a shard has its name only once its bytes are on the disk."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as file:
        numpy.save(file, answers)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def finish(store: dist.Store, folder: Path, labels: numpy.ndarray, rank: int, world: int) -> int:
    """Every node's shards go to its results/; rank 0 judges them all, and keeps the store until all have read it."""
    results = Path("results")
    results.mkdir(exist_ok=True)
    store.add("finished", 1)
    wait_until(store, "finished", world)
    right = 0
    for path in sorted(folder.glob("*.npy")):
        shutil.copy(path, results / path.name)
        if store.add(f"counted {path.stem}", 1) == 1:  # ranks of one node, or two nodes, may have the same shard
            right += int((numpy.load(path) == labels[int(path.stem) :: SHARDS]).sum())
    total = store.add("right", right)
    store.add("counted", 1)
    wait_until(store, "counted", world)
    total = store.add("right", 0)
    if rank == 0:
        accuracy = total / len(labels)
        (results / "accuracy.json").write_text(json.dumps({"accuracy": accuracy, "shards": SHARDS}) + "\n")
        print(f"{total} of {len(labels)} digits read rightly ({100 * accuracy:.2f} %)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    store.add("left", 1)
    if rank == 0:
        wait_until(store, "left", world)
    return 0 if total >= GOAL * len(labels) else 1


def wait_until(store: dist.Store, key: str, number: int) -> None:
    while store.add(key, 0) < number:
        time.sleep(0.02)


def report(**values: float) -> None:
    """One line for the head, where it asked for reports."""
    file = os.environ.get("BEOWULF_REPORT")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({key: round(value, 6) for key, value in values.items()}) + "\n")


if __name__ == "__main__":
    sys.exit(main())

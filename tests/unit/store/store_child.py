"""Commits a random history until it is killed; prints each number it was promised."""

import sys
from random import Random

from store_histories import history

from beowulf.store import Store


def main(path: str, seed: int) -> None:
    random = Random(seed + 1)
    store = Store.open(f"sqlite:///{path}", now=1.0)
    group = []
    for event, after in history(Random(seed), 100_000):
        group.append(event)
        if random.random() < 0.4:
            print(store.commit(group, after), flush=True)
            group = []


main(sys.argv[1], int(sys.argv[2]))

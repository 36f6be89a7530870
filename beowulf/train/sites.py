"""One group of ranks at several sites, which reach each other through rank 0's store and by nothing else.

Within a site ranks exchange as ever, over gloo. The first rank of each site speaks for its own; what it says goes
through the store that all ranks meet at, so one port of one host is all that another site has to find. Slow by nature:
for modes that exchange parameters now and then.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import reduce
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, _create_work_from_future  # type: ignore[attr-defined]
from torch.futures import Future

VARIABLE = "BEOWULF_SITES"
BACKEND = "sites"
PIECE_BYTES = 4 << 20  # the store takes no message above 8 MiB

_ADD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"SUM": torch.add, "MAX": torch.maximum, "MIN": torch.minimum}


def read_sites(text: str) -> tuple[int, ...]:
    """``0,0,1``: each rank's site, by rank, numbered as they first come; () for ranks that all reach each other."""
    sites = tuple(int(word) for word in text.split(",") if word.strip())
    if list(dict.fromkeys(sites)) != list(range(len(set(sites)))):
        raise ValueError(f"{VARIABLE}: {text!r} does not number sites from 0, as they first come")
    return sites if len(set(sites)) > 1 else ()


class Between:
    """What the first ranks of all sites say to each other. All call ``exchange`` equally often."""

    def __init__(self, store: Store, site: int, sites: int) -> None:
        self._store, self._site, self._sites = store, site, sites
        self._round = 0
        self._heard: list[str] = []  # in the last round

    def exchange(self, words: bytes) -> list[bytes]:
        """Everybody's words, by site."""
        mine = self._say(words)
        heard: list[str] = []
        everyone = [words if site == self._site else self._hear(site, heard) for site in range(self._sites)]
        if self._site == 0:  # who speaks in this round has heard all of the last one
            for key in self._heard:
                self._store.delete_key(key)
            self._heard = heard + mine
        self._round += 1
        return everyone

    def leave(self) -> None:
        """Once for all: the store must not go before everybody has fetched the last words."""
        if self._site:
            self._store.set(f"left/{self._site}", ".")
        else:
            self._store.wait([f"left/{site}" for site in range(1, self._sites)])

    def _key(self, site: int, piece: int) -> str:
        return f"{self._round}/{site}/{piece}"

    def _say(self, words: bytes) -> list[str]:
        begins = range(0, max(1, len(words)), PIECE_BYTES)
        for piece, begin in enumerate(begins):
            more = b"+" if begin + PIECE_BYTES < len(words) else b"."
            self._store.set(self._key(self._site, piece), more + words[begin : begin + PIECE_BYTES])  # type: ignore[arg-type]
        return [self._key(self._site, piece) for piece in range(len(begins))]

    def _hear(self, site: int, heard: list[str]) -> bytes:
        pieces: list[bytes] = []
        while not pieces or pieces[-1][:1] == b"+":
            key = self._key(site, len(pieces))
            pieces.append(self._store.get(key))
            heard.append(key)
        return b"".join(piece[1:] for piece in pieces)


class SitesGroup(dist.ProcessGroup):
    """The collectives that training needs. Each is over when its call returns, and leaves the same on every rank."""

    def __init__(self, store: Store, rank: int, sites: Sequence[int], timeout: timedelta) -> None:
        super().__init__(rank, len(sites))  # type: ignore[call-arg]
        self._rank, self._sites, self._site = rank, tuple(sites), sites[rank]
        self._members = [other for other, site in enumerate(sites) if site == self._site]
        self._near: Any = None
        if len(self._members) > 1:
            within = PrefixStore(f"within-{self._site}", store)
            place = self._members.index(rank)
            self._near = dist.ProcessGroupGloo(within, place, len(self._members), timeout)
        speaks = rank == self._members[0]
        apart = PrefixStore("between", store)
        self._between = Between(apart, self._site, len(set(sites))) if speaks else None

    def getBackendName(self) -> str:
        return BACKEND

    # torch declares several ways to call each of these, of which it uses the one below.
    def allreduce(self, tensors: Sequence[Tensor], opts: Any = None) -> Any:  # type: ignore[override]
        options = opts or dist.AllreduceOptions()
        for tensor in tensors:
            tensor.copy_(self._reduced(_flat(tensor), options).view_as(tensor))
        return _done(tensors)

    def broadcast(self, tensors: Sequence[Tensor], opts: Any = None) -> Any:  # type: ignore[override]
        root = opts.rootRank if opts is not None else 0
        for tensor in tensors:
            tensor.copy_(self._told(_flat(tensor), root).view_as(tensor))
        return _done(tensors)

    def allgather(  # type: ignore[override]
        self, outputs: Sequence[Sequence[Tensor]], inputs: Sequence[Tensor], opts: Any = None
    ) -> Any:
        for everyone, mine in zip(outputs, inputs):
            whole = torch.zeros(len(self._sites), mine.numel(), dtype=mine.dtype)
            whole[self._rank] = _flat(mine)
            rows = self._reduced(whole.reshape(-1), dist.AllreduceOptions()).view_as(whole)  # all but one add nought
            for output, row in zip(everyone, rows):
                output.copy_(row.view_as(output))
        return _done(inputs)

    def barrier(self, opts: Any = None) -> Any:
        return self.allreduce([torch.zeros(1)])

    def shutdown(self) -> None:
        if self._between is not None:
            self._between.leave()

    def _reduced(self, flat: Tensor, options: Any) -> Tensor:
        """Within the sites, then between them in the order of sites, so that all add alike."""
        if self._near is not None:
            self._near.allreduce([flat], options).wait()
        if self._between is not None:
            add = next(function for name, function in _ADD.items() if options.reduceOp == getattr(dist.ReduceOp, name))
            flat = reduce(add, [_tensor(words, flat) for words in self._between.exchange(_words(flat))])
        return self._from(0, flat)

    def _told(self, flat: Tensor, root: int) -> Tensor:
        home = self._sites[root]
        if home == self._site:
            flat = self._from(self._members.index(root), flat)
        if self._between is not None:
            flat = _tensor(self._between.exchange(_words(flat) if home == self._site else b"")[home], flat)
        return self._from(0, flat)

    def _from(self, place: int, flat: Tensor) -> Tensor:
        """As that one of the site's ranks has it."""
        if self._near is not None:
            options = dist.BroadcastOptions()
            options.rootRank = place
            self._near.broadcast([flat], options).wait()
        return flat


def _flat(tensor: Tensor) -> Tensor:
    """A copy of its own, in one row, where gloo and the store can get at it."""
    return tensor.detach().reshape(-1).to("cpu", copy=True)


def _words(flat: Tensor) -> bytes:
    return ctypes.string_at(flat.data_ptr(), flat.numel() * flat.element_size()) if flat.numel() else b""


def _tensor(words: bytes, like: Tensor) -> Tensor:
    return torch.frombuffer(bytearray(words), dtype=like.dtype) if words else torch.empty_like(like)


def _done(result: Any) -> Any:
    future: Future[Any] = Future()
    future.set_result(result)
    return _create_work_from_future(future)


def _group(store: Store, rank: int, size: int, timeout: timedelta) -> SitesGroup:
    sites = read_sites(os.environ.get(VARIABLE, ""))
    if len(sites) != size:
        raise ValueError(f"{VARIABLE} names the sites of {len(sites)} ranks, and {size} are in this group")
    return SitesGroup(store, rank, sites, timeout)


def register() -> str:
    """→ the name by which torch.distributed knows such groups from here on."""
    if BACKEND not in dist.Backend.backend_list:
        dist.Backend.register_backend(BACKEND, _group, devices=["cpu", "cuda"])
    return BACKEND

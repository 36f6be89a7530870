"""Every rank's host, an allreduce checked against its closed form, and the bandwidth between neighbours."""

import os
import sys
import time

from mpi4py import MPI

SIZES_BYTES = (1_024, 65_536, 1_048_576, 8_388_608)
ROUNDS = 10


def main() -> int:
    world = MPI.COMM_WORLD
    hosts = world.gather(os.uname().nodename, root=0)
    if hosts is not None:
        print(f"{world.size} ranks, {MPI.Get_library_version().split(',')[0].strip()}")
        for rank, host in enumerate(hosts):
            print(f"rank {rank} on {host}", flush=True)
    right = allreduce_is_right(world)
    bandwidth_table(world, hosts)
    return 0 if right else 1


def allreduce_is_right(world: MPI.Intracomm) -> bool:
    """The sum of (rank + 1) must be n(n + 1)/2 and of its square n(n + 1)(2n + 1)/6, on every rank."""
    n = world.size
    mine = world.rank + 1
    sums = (world.allreduce(mine), world.allreduce(mine * mine))
    expected = (n * (n + 1) // 2, n * (n + 1) * (2 * n + 1) // 6)
    everywhere = world.allreduce(sums == expected, op=MPI.LAND)
    if world.rank == 0:
        verdict = "ok" if everywhere else "WRONG"
        print(f"allreduce {verdict}: sums {sums}, expected {expected}", flush=True)
    return bool(everywhere)


def bandwidth_table(world: MPI.Intracomm, hosts: "list | None") -> None:
    """Ping-pong between rank 0 and each other rank, one at a time."""
    if world.rank == 0:
        print("MB/s from rank 0 to" + "".join(f"{size:12d} B" for size in SIZES_BYTES))
    for peer in range(1, world.size):
        row = [ping_pong(world, peer, size) for size in SIZES_BYTES]
        if hosts is not None:
            print(f"rank {peer:3d} {hosts[peer]:10.10s}" + "".join(f"{rate:14.1f}" for rate in row), flush=True)


def ping_pong(world: MPI.Intracomm, peer: int, size: int) -> float:
    """Megabytes per second, one way; meaningful on rank 0."""
    buffer = bytearray(size)
    world.Barrier()
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        if world.rank == 0:
            world.Send(buffer, dest=peer)
            world.Recv(buffer, source=peer)
        elif world.rank == peer:
            world.Recv(buffer, source=0)
            world.Send(buffer, dest=0)
    return 2 * ROUNDS * size / 1e6 / max(time.perf_counter() - begin, 1e-9)


if __name__ == "__main__":
    sys.exit(main())

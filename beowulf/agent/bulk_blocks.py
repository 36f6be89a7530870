"""Which blocks of an old file a new one can be built from; both ends use this file.

Blocks are cut from the front and, a second time, from the back: whatever was changed, put in or taken out at one place
of a file then costs about that place, without a rolling checksum, which is slow in plain Python.
"""

import hashlib
from typing import BinaryIO, Dict, List, Tuple

BLOCK = 128 * 1024
# A copy from the old file: ("c", offset, length); bytes that travel: ("d", offset in the new file, length).
Step = Tuple[str, int, int]


def name_of(block: bytes) -> str:
    return hashlib.blake2b(block, digest_size=16).hexdigest()


def block_names(file: BinaryIO, size: int) -> List[List[str]]:
    """``[names of the blocks cut from the front, those cut from the back with the last first]``; whole blocks only."""
    count = size // BLOCK
    return [_names(file, 0, count), _names(file, size - count * BLOCK, count)[::-1]]


def _names(file: BinaryIO, start: int, count: int) -> List[str]:
    file.seek(start)
    return [name_of(file.read(BLOCK)) for _ in range(count)]


def plan(file: BinaryIO, size: int, old_names: List[List[str]], old_size: int) -> List[Step]:
    """How to build the new file of ``size`` bytes in order, from copies of the old one and bytes that travel."""
    front, back = old_names
    where: Dict[str, int] = {name: old_size - (index + 1) * BLOCK for index, name in enumerate(back)}
    where.update({name: index * BLOCK for index, name in enumerate(front)})
    count = size // BLOCK
    tail: List[Step] = []
    for name in reversed(_names(file, size - count * BLOCK, count)):
        if name not in where:
            break
        tail.append(("c", where[name], BLOCK))
    end = size - len(tail) * BLOCK
    steps: List[Step] = []
    for index, name in enumerate(_names(file, 0, count)):
        if (index + 1) * BLOCK > end:
            break
        steps.append(("c", where[name], BLOCK) if name in where else ("d", index * BLOCK, BLOCK))
    covered = len(steps) * BLOCK
    if covered < end:
        steps.append(("d", covered, end - covered))
    return _joined(steps + tail[::-1])


def _joined(steps: List[Step]) -> List[Step]:
    """Neighbours made one, so that a plan is short."""
    joined: List[Step] = []
    for kind, offset, length in steps:
        if joined and joined[-1][0] == kind and joined[-1][1] + joined[-1][2] == offset:
            last = joined.pop()
            joined.append((kind, last[1], last[2] + length))
        else:
            joined.append((kind, offset, length))
    return joined

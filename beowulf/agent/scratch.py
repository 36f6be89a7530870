"""Short folders of one attempt outside its own, for tools that leave what they made there when they are killed.

Open MPI keeps sockets below TMPDIR, whose paths may have 107 bytes and must not lie on a network's disk, and memory
that ranks share below /dev/shm.
"""

import hashlib
import os
import shutil
import stat
from typing import Dict, Iterable

_PREFIX = "bw-"


def make(places: Dict[str, str], cluster: str, tag: str) -> Dict[str, str]:
    """``{variable: folder below which}`` → ``{variable: folder}``. One that cannot be had, or is somebody else's, is
    left out. All nodes of a gang have the same, as mpirun passes some of them on."""
    name = _PREFIX + hashlib.sha256("{}/{}".format(cluster, tag).encode("utf-8")).hexdigest()[:12]
    made = {}
    for variable, base in places.items():
        path = os.path.join(base, name)
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            found = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            made[variable] = path
    return made


def remove(paths: Iterable[str]) -> bool:
    for path in paths:
        if os.path.basename(path).startswith(_PREFIX):
            shutil.rmtree(path, ignore_errors=True)
    return True

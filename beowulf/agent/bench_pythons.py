"""Which Python of the node can measure best: one with torch for GPUs, with torch, with numpy."""

import glob
import os
import subprocess
from typing import List, Tuple

PACKAGES = ("torch", "numpy")
_LOOK_S = 10.0
_LOOK = "import sys,importlib.util as u;print([n for n in sys.argv[1:] if u.find_spec(n)])"
_SYSTEM = ("python3", "/usr/bin/python3", "/usr/local/bin/python3")


def candidates(root: str) -> List[Tuple[str, str]]:
    """``(python, package)``, the best first: of the environments that jobs brought, then of the node's own Pythons."""
    found = [one for one in glob.glob(os.path.join(root, "envs", "*")) if _has(one, "numpy") or _has(one, "torch")]
    found.sort(key=lambda one: (_has(one, "torch/lib/libtorch_cuda.so"), os.stat(one).st_mtime), reverse=True)
    chosen = [(os.path.join(one, "bin", "python"), name) for name in PACKAGES for one in found if _has(one, name)]
    for python in _SYSTEM:
        chosen += [(python, name) for name in PACKAGES if name in _said(python)]
    return sorted(chosen, key=lambda one: PACKAGES.index(one[1]))


def _has(environment: str, package: str) -> bool:
    return bool(glob.glob(os.path.join(environment, "lib", "python*", "site-packages", package)))


def _said(python: str) -> str:
    try:
        done = subprocess.run(
            [python, "-c", _LOOK] + list(PACKAGES),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LOOK_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")

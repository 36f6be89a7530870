"""What ``import beowulf`` finds in a rank: an environment's own package of that name, else what the head shipped.

It stands on PYTHONPATH and so before site-packages: it looks behind itself first, and hands the name over. It imports
nothing of ours: whichever Python the job has runs it.
"""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from typing import Any

SHIPPED = ".shipped"


def chosen(here: str) -> Any:
    """The spec of the package that is meant. ``here`` is the folder on PYTHONPATH that holds this very file."""
    before = sys.path[:]
    try:
        sys.path[:] = [entry for entry in before if os.path.realpath(entry) != here]
        for finder in sys.meta_path:
            spec = finder.find_spec("beowulf", None) if hasattr(finder, "find_spec") else None
            # A plain folder of that name, of a work folder say, is no package.
            if spec is not None and spec.loader is not None and spec.origin:
                return spec
    finally:
        sys.path[:] = before
    return PathFinder.find_spec("beowulf", [os.path.join(here, SHIPPED)])


def hand_over(spec: Any) -> None:
    module = importlib.util.module_from_spec(spec)
    sys.modules["beowulf"] = module
    spec.loader.exec_module(module)


if __name__ == "beowulf":
    hand_over(chosen(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))

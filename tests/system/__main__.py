"""``python tests/system SEED [SEED …]`` plays histories again, as ``scripts/test`` does; ``python tests/system 0-499``
many. With another PYTHONHASHSEED, which maps are walked by, a seed is another history."""

import os
import sys
from pathlib import Path

if "PYTHONHASHSEED" not in os.environ:
    os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONHASHSEED": "0"})

sys.path.append(str(Path(__file__).parents[1] / "cloud"))

from history import Broken, play

for argument in sys.argv[1:]:
    first, _, last = argument.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        try:
            play(seed)
        except Broken as broken:
            print(f"seed {seed}: {broken}")
            sys.exit(1)
        print(f"seed {seed}: well")

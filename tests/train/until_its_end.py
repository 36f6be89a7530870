"""``python until_its_end.py SCRIPT`` runs it and ends when it does, without Python's shutdown. Errors stay errors."""

from __future__ import annotations

import os
import runpy
import sys

runpy.run_path(sys.argv[1], run_name="__main__")
sys.stdout.flush()
os._exit(0)

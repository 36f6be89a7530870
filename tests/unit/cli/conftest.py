"""The API's fake head is behind a real socket where a test needs what a shell would see."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

"""What training scripts import, by path below ``beowulf/``: `pack` puts the texts here when the agent is packed."""

from typing import Dict

FILES: Dict[str, str] = {}

"""Where experiments are tracked, which the ranks find in their variables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tracking:
    """Empty: nothing is told."""

    mlflow: str = ""  # a tracking server's URL
    experiment: str = ""  # its experiment for all jobs; "": each job's project or, where it names none, its own name
    tensorboard: str = ""  # a folder below the work folder

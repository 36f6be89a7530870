"""The head's folder and every path in it. Nothing else in the package spells these names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @classmethod
    def default(cls) -> Home:
        """``$BEOWULF_HOME``, else ``~/.local/state/beowulf``."""
        chosen = os.environ.get("BEOWULF_HOME")
        return cls(Path(chosen).absolute() if chosen else Path.home() / ".local" / "state" / "beowulf")

    def make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.jobs, self.trees, self.wheels):
            folder.mkdir(exist_ok=True)

    def highest_job(self) -> int:
        """Of all that left something here, also those that a database from a backup does not know."""
        numbers = [path.name.partition("_")[0] for path in self.jobs.iterdir()] if self.jobs.is_dir() else []
        return max((int(number) for number in numbers if number.isascii() and number.isdigit()), default=0)

    @property
    def database(self) -> Path:
        return self.path / "beowulf.db"

    @property
    def socket(self) -> Path:
        return self.path / "api.sock"

    @property
    def log(self) -> Path:
        return self.path / "controller.log"

    @property
    def pid(self) -> Path:
        return self.path / "controller.pid"

    @property
    def alive(self) -> Path:
        """Touched while a head is up."""
        return self.path / "alive"

    def alive_at(self) -> float:
        """When a head was last up, by its clock; 0: nobody knows."""
        return self.alive.stat().st_mtime if self.alive.exists() else 0.0

    @property
    def key(self) -> Path:
        return self.path / "id_ed25519"

    @property
    def settings(self) -> Path:
        return self.path / "settings.yaml"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def trees(self) -> Path:
        return self.path / "trees"

    @property
    def wheels(self) -> Path:
        return self.path / "wheels"

    @property
    def machine_keys(self) -> Path:
        """Host keys of rented machines that are on their way."""
        return self.path / "machine-keys"

    def checkpoints(self, job_id: str) -> Path:
        return self.jobs / job_id / "checkpoints"

    def course(self, job_id: str, attempt: int) -> Path:
        """How busy the attempt's machines were."""
        return self.jobs / job_id / "use" / f"{attempt}.json"

    def outputs(self, job_id: str) -> Path:
        return self.jobs / job_id / "outputs"

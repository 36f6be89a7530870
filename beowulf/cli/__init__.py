"""What people type: one file per verb. Nothing heavy is imported before a verb is known to need it."""

from __future__ import annotations

import sys


def main() -> None:
    """The ``beowulf`` command."""
    from beowulf.cli.root import run

    sys.exit(run(sys.argv[1:]))

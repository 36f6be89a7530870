"""``python -m beowulf.cli``: the same as ``beowulf``."""

from beowulf.cli import main

main()

"""beowulf: one training cluster out of the machines a lab already owns.

Nothing heavy is imported here: on nodes this file travels with what training scripts import, and nothing else of ours.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beowulf.client import Client as Client

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """``from beowulf import Client``"""
    if name == "Client":
        from beowulf.client import Client

        return Client
    raise AttributeError(f"module 'beowulf' has no attribute {name!r}")

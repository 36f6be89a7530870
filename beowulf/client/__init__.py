"""A typed, synchronous client of the head. Imports the standard library only: the command line starts with it."""

from beowulf.client.client import Client
from beowulf.client.logs import LogChunk

__all__ = ["Client", "LogChunk"]

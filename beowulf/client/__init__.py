"""A typed, synchronous client of the head. Imports the standard library only: the command line starts with it."""

from beowulf.client.client import Client
from beowulf.client.logs import LogChunk
from beowulf.client.values import AttemptWhole, JobRow, JobWhole, NodeWhole, RankEnd, Report, TaskRow

__all__ = ["AttemptWhole", "Client", "JobRow", "JobWhole", "LogChunk", "NodeWhole", "RankEnd", "Report", "TaskRow"]

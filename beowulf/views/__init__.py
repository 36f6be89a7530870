"""JSON values of the API → rows and sentences, the same in CLI and TUI. No terminal, no colour, no clock in here.

Jobs and nodes come in as the API sends them (`beowulf.model.codec.plain`, plus ``word``, ``used_cpus``, ``used_gpus``);
a missing field shows as empty. Everything that goes out has passed `printable`: it can be written to any terminal.
"""

from beowulf.views.amounts import ago, bytes_amount, clock_time, duration, in_local_time, mebibytes
from beowulf.views.hosts import compress_hosts
from beowulf.views.jobs import JOB_COLUMNS, JobRow, job_row, job_rows
from beowulf.views.nodes import NODE_COLUMNS, NodeRow, node_details, node_row, node_rows
from beowulf.views.profile import WIDE_COLUMNS, wide_cells
from beowulf.views.show import JobDetails, job_details
from beowulf.views.table import Table
from beowulf.views.text import fitted, matches, printable, shortened
from beowulf.views.why import free_from, kept_starts, why_outlook, why_sentence

__all__ = [
    "JOB_COLUMNS",
    "NODE_COLUMNS",
    "WIDE_COLUMNS",
    "JobDetails",
    "JobRow",
    "NodeRow",
    "Table",
    "ago",
    "bytes_amount",
    "clock_time",
    "compress_hosts",
    "duration",
    "fitted",
    "free_from",
    "in_local_time",
    "job_details",
    "job_row",
    "job_rows",
    "kept_starts",
    "matches",
    "mebibytes",
    "node_details",
    "node_row",
    "node_rows",
    "printable",
    "shortened",
    "why_outlook",
    "why_sentence",
    "wide_cells",
]

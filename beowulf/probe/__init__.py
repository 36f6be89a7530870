"""Which facts to ask a node for (`questions`), how to read the answers (`read`), and what is wrong with it (`doctor`).

Pure: a node's answers, clocks and link state are arguments.
"""

from beowulf.probe.course import Course, Use, extended, use_of
from beowulf.probe.doctor import compare, doctor
from beowulf.probe.drift import as_before
from beowulf.probe.finding import Finding, LinkProblem, Severity
from beowulf.probe.load import GPU_LOAD, GpuLoad, Load, gpu_load_question, load_between, read_gpu_load
from beowulf.probe.names import second_names
from beowulf.probe.others import Seen, look, on_gpus, on_threads
from beowulf.probe.questions import questions, use
from beowulf.probe.read import read

__all__ = [
    "GPU_LOAD",
    "Course",
    "Finding",
    "GpuLoad",
    "LinkProblem",
    "Load",
    "Seen",
    "Severity",
    "Use",
    "as_before",
    "compare",
    "doctor",
    "extended",
    "gpu_load_question",
    "load_between",
    "look",
    "on_gpus",
    "on_threads",
    "questions",
    "read",
    "read_gpu_load",
    "second_names",
    "use",
    "use_of",
]

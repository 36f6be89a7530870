"""A head whose nodes have as many threads as it is told, whatever the machine below has: FOLDER THREADS.

Its ranks are not pinned, since there is no such thread to pin them to. For jobs that sleep.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from beowulf.daemon.service import serve
from beowulf.launch import direct
from beowulf.launch.starting import Process
from beowulf.probe.answers import Answers
from beowulf.probe.processor import Processor, read_processor


def main() -> int:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])

    def declared(answers: Answers) -> Processor:
        return replace(read_processor(answers), cpus=tuple(range(threads)))

    def unpinned(*fields: Any, cpus: object = (), **named: Any) -> Process:
        return Process(*fields, **named)

    vars(sys.modules["beowulf.probe.read"])["read_processor"] = declared
    vars(direct)["Process"] = unpinned
    return serve(folder)


if __name__ == "__main__":
    sys.exit(main())

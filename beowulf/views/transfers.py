"""One line per transfer between the head and a node."""

from __future__ import annotations

from beowulf.views.amounts import bytes_amount, duration
from beowulf.views.bars import bar, percent
from beowulf.views.fields import Json, number, text
from beowulf.views.text import printable

TRANSFER_COLUMNS = ("JOBID", "NAME", "NODE", "DONE", "RATE", "LEFT", "WHAT")
BAR = 12


def transfer_row(transfer: Json, job: Json) -> tuple[str, ...]:
    """Fields in the order of `TRANSFER_COLUMNS`. What was done so far, over the time it took, tells what is left."""
    done, total = number(transfer, "done_bytes"), number(transfer, "total_bytes")
    passed_s = number(transfer, "at") - number(transfer, "began_at")
    rate = (done - number(transfer, "first_bytes")) / passed_s if passed_s > 0 else 0.0
    part = done / total if total else -1.0
    amount = f"{bytes_amount(int(done))} of {bytes_amount(int(total))}" if total else ""
    file = text(transfer, "file")
    cells = (
        text(transfer, "job_id"),
        text(job, "name"),
        f"{'from' if transfer.get('home') else 'to'} {text(transfer, 'node')}",
        f"{bar(part, BAR)}{percent(part)}",
        f"{bytes_amount(int(rate))}/s" if rate >= 1 else "",
        duration((total - done) / rate) if rate >= 1 and total else "",
        " · ".join(filter(None, (text(transfer, "what"), file, amount))),
    )
    return tuple(map(printable, cells))

"""Times and sizes as people write them."""

from __future__ import annotations

import calendar
import math
import re
from time import gmtime, localtime, strftime, strptime

IN_UTC = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC\b")


def duration(seconds: float) -> str:
    """``0:07``, ``12:34``, ``3:04:05``, ``2-03:04:05``: as squeue writes it. Less than nothing is nothing."""
    whole = int(seconds) if math.isfinite(seconds) and seconds > 0 else 0
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{secs:02}"
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def lasted(seconds: float) -> str:
    """As `duration`, but what is over within ten seconds exactly: ``30 ms``, ``1.3 s``."""
    if not 0 < seconds < 9.95:
        return duration(seconds)
    return f"{seconds:.1f} s" if seconds >= 0.0995 else f"{1000 * seconds:.0f} ms"


def ago(seconds: float) -> str:
    """``just now``, ``40 s ago``, ``5 min ago``, ``3 h ago``, ``2 days ago``."""
    for unit_s, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * unit_s:
            return f"{int(seconds // unit_s)} {unit} ago"
    return "just now"


def mebibytes(size: float) -> str:
    """``0``, ``512M``, ``1.5G``, ``16G``, ``2.0T``: an amount in MiB, at most four digits wide."""
    if size < 1024:
        return f"{int(size)}M" if size else "0"
    for unit in ("G", "T", "P"):
        size /= 1024
        if size < 9.95:
            return f"{size:.1f}{unit}"
        if size < 1023.5 or unit == "P":
            return f"{size:.0f}{unit}"
    raise AssertionError("unreachable")


def bytes_amount(size: int) -> str:
    """``0 bytes``, ``1 byte``, ``3.4 kB``, ``12 MB``, ``1.5 GB``: for sentences, in powers of ten as disks are sold."""
    if size < 1000:
        return f"{size} byte" + "s" * (size != 1)
    amount = float(size)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5 or unit == "GB":
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    raise AssertionError("unreachable")


def clock_time(at: float, *, utc: bool = False) -> str:
    """``2026-03-01 14:05:09`` in the viewer's time zone; ``-`` for a moment that has not come."""
    if not at or not math.isfinite(at) or not 0 < at < 1e11:
        return "-"
    return strftime("%Y-%m-%d %H:%M:%S", gmtime(at) if utc else localtime(at))


def in_local_time(sentence: str) -> str:
    """The head's own sentences tell moments in UTC (``2026-11-24 14:20 UTC``): here as all other times are shown, with
    the zone's name (``2026-11-24 15:20 CET``)."""
    return IN_UTC.sub(_in_local_time, sentence)


def _in_local_time(found: re.Match[str]) -> str:
    try:
        at = calendar.timegm(strptime(found[0], "%Y-%m-%d %H:%M UTC"))
    except ValueError:  # the words of somebody else
        return found[0]
    return strftime("%Y-%m-%d %H:%M %Z", localtime(at))

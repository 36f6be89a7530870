"""Text of others, made harmless and fitted."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

NARROWEST = 8  # a column of a table
LONGEST_LINE = 4000  # more than any terminal shows; a rank may well write a line of 100 MB

# Whole sequences go, as their letters would be noise: CSI, then OSC and DCS strings up to their end, then others.
SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
# C0, DEL and C1; line and paragraph separators; what turns the direction of text; what is not seen; lone surrogates.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]")


def printable(text: object) -> str:
    r"""One line without anything a terminal would obey. Sequences go, other control characters become ``\x07``.

    Of a line that overwrote itself (``10 %\r20 %``) only the last state stays, as on a terminal.
    """
    line = str(text)[: LONGEST_LINE * 4]
    line = SEQUENCES.sub("", line).rstrip("\r\n")
    line = line.rpartition("\r")[2].expandtabs(8)
    return shortened(UNSAFE.sub(_escaped, line), LONGEST_LINE)


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters, the last of them ``…`` where something was cut."""
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if width > 1 else "…"[: max(width, 0)]


def fitted(widths: Sequence[int], room: int, free: Collection[int]) -> list[int]:
    """The widths of columns with two blanks between them; those of ``free`` text are cut, the widest first, until a
    line has ``room`` (0: no end) or they are as narrow as `NARROWEST`."""
    left = room - 2 * (len(widths) - 1)
    most = max((widths[place] for place in free), default=0)

    def cut() -> list[int]:
        return [min(width, most) if place in free else width for place, width in enumerate(widths)]

    while room and most > NARROWEST and sum(cut()) > left:
        most -= 1
    return cut()


def matches(needle: str, *cells: str) -> bool:
    """Whether every word of ``needle`` is in one of the cells, letter case aside: the filter of lists."""
    haystack = "\n".join(cells).casefold()
    return all(word in haystack for word in needle.casefold().split())


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

"""A file that holds one list of entries, some of whose keys every entry needs."""

from __future__ import annotations

from collections.abc import Sequence

from beowulf.specs import document as doc
from beowulf.specs.complaints import Complaints
from beowulf.specs.kinds import Fields, Record


def read_entries(text: str, table: Record, needed: Sequence[str], what: str, *, name: str) -> tuple[Fields, ...]:
    """The entries under the table's one key; ``what``: one of them. Raises `BadInput`, a line per complaint."""
    complaints = Complaints()
    root = doc.read_document(text, name, complaints)
    complaints.raise_if_any()
    fields = table.read(root, "", complaints) or Fields(root.place)
    entries: tuple[Fields, ...] = fields.get(table.keys[0].name, ())
    for one in entries:
        for key in needed:
            if key not in one.places:
                complaints.add(one.place, f"{what} needs {key}")
    complaints.raise_if_any()
    return entries

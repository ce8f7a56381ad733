"""Agenda cells as documents: `{_id, v, e: [[start, end, holder, slot, kind], …], x}`.

What is held only for a while has two values more, its end and its owner; `x` is the earliest end.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from fhir_server.scheduling.plan import Cell, CellWrite, Occupancy

COLLECTION = "cells"
EXPIRING = {
    "name": "expiring",
    "key": {"x": 1},
    "partialFilterExpression": {"x": {"$exists": True}},
}
_FIRST_VERSION_BITS = 52


def from_document(document: Mapping[str, Any]) -> Cell:
    """The cell in a document."""
    entries = tuple(Occupancy(*entry) for entry in document["e"])
    return Cell(id=document["_id"], version=document["v"], entries=entries)


def absent(cell_id: str) -> Cell:
    """A cell that nobody holds any part of."""
    return Cell(id=cell_id, version=0, entries=())


def to_document(write: CellWrite) -> dict[str, Any]:
    """The document of a cell's new content."""
    entries = [_row(one) for one in write.entries]
    # A cell that nobody holds any more is removed. If its successor counted from 1 again, somebody
    # who saw version 1 of the old one could overwrite version 1 of the new one.
    version = write.expected_version + 1 if write.expected_version else _first_version()
    document = {"_id": write.id, "v": version, "e": entries}
    # What only counts holds (it names no Slot) is put right when they are counted again.
    ends = [one.expires for one in write.entries if one.expires is not None and one.slot]
    return {**document, "x": min(ends)} if ends else document


def _row(entry: Occupancy) -> list[int | str | None]:
    row: list[int | str | None] = [entry.start, entry.end, entry.holder, entry.slot, entry.kind]
    return row if entry.expires is None else [*row, entry.expires, entry.owner]


def _first_version() -> int:
    return secrets.randbits(_FIRST_VERSION_BITS) + 1

"""Agenda cells as documents: `{_id, v, e: [[start, end, holder, slot, kind], …]}`."""

import secrets
from collections.abc import Mapping
from typing import Any

from fhir_server.scheduling.plan import Cell, CellWrite, Occupancy

COLLECTION = "cells"
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
    entries = [[one.start, one.end, one.holder, one.slot, one.kind] for one in write.entries]
    # A cell that nobody holds any more is removed. If its successor counted from 1 again, somebody
    # who saw version 1 of the old one could overwrite version 1 of the new one.
    version = write.expected_version + 1 if write.expected_version else _first_version()
    return {"_id": write.id, "v": version, "e": entries}


def _first_version() -> int:
    return secrets.randbits(_FIRST_VERSION_BITS) + 1

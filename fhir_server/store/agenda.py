"""Agenda cells for those who only look: what is occupied at this moment."""

from collections.abc import Sequence
from typing import Final

from fhir_server.scheduling.find import FreeSlot, is_occupied, touched_cells
from fhir_server.scheduling.plan import Cell
from fhir_server.store import cells
from fhir_server.store.find import Database, find_by_ids

_AT_ONCE: Final = 10_000


async def load_cells(database: Database, ids: Sequence[str]) -> dict[str, Cell]:
    """The cells that anybody holds any part of, by id; those that are absent are empty.

    Raises:
        Transient: the database cannot be reached.
    """
    found: dict[str, Cell] = {}
    for first in range(0, len(ids), _AT_ONCE):
        chosen = list(ids[first : first + _AT_ONCE])
        for document in await find_by_ids(database, cells.COLLECTION, chosen):
            found[document["_id"]] = cells.from_document(document)
    return found


async def unoccupied(database: Database, slots: Sequence[FreeSlot], now: int) -> list[FreeSlot]:
    """Those of the Slots that nothing lies over, in their order.

    Args:
        database: the tenant's.
        slots: free by their own status.
        now: the present in microseconds since the epoch.

    Raises:
        Transient: the database cannot be reached.
    """
    found = await load_cells(database, touched_cells(slots))
    return [one for one in slots if not is_occupied(one, found, now)]

"""Collections and their indexes, made once per process before the first write to a type.

MongoDB ignores a request for an index that is there, so processes need not agree on who makes it.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.search.main_date import main_date
from fhir_server.store import cells, locks, receipts
from fhir_server.store.errors import translate
from fhir_server.store.find import Database

AUDIT = "audit"
EVENTS = "events"

_NAMESPACE_EXISTS = 48

_TERMS = {"name": "terms", "key": {"ix.t": 1, "ix.s": 1, "_id": 1}}
_DATES = {"name": "dates", "key": {"ix.d.$**": 1}}
_NUMBERS = {"name": "numbers", "key": {"ix.n.$**": 1}}
# Whole types are listed in these orders, so deletions must not be in the way.
_LIVE = {"partialFilterExpression": {"deleted": False}}
_SORTED = {"name": "main_date", "key": {"ix.s": 1, "_id": 1}, **_LIVE}
_UPDATED = {"name": "updated", "key": {"ix.u": 1, "_id": 1}, **_LIVE}
_POSITION = {"name": "position", "key": {"ix.g": "2dsphere"}}
_VERSIONS = {"name": "versions", "key": {"id": 1, "v": -1}}
_CHANGES = {"name": "changes", "key": {"t": -1, "v": -1, "_id": -1}}
_CURRENT = [_TERMS, _DATES, _NUMBERS, _UPDATED]


def history_of(resource_type: str) -> str:
    """The name of the collection that holds every version of a type."""
    return f"{resource_type}_history"


class Collections:
    """Knows what is there already."""

    def __init__(self) -> None:
        self._made: set[tuple[str, str]] = set()
        self._making = asyncio.Lock()

    async def ensure(self, database: Database, types: Iterable[str]) -> None:
        """Make what the types need; free of cost when this process has done so before.

        Raises:
            Transient: the database cannot be reached.
        """
        missing = [one for one in types if (database.name, one) not in self._made]
        if not missing:
            return
        async with self._making:
            try:
                await self._make(database, missing)
            except PyMongoError as error:
                raise translate(error) from error

    async def _make(self, database: Database, types: list[str]) -> None:
        shared = (database.name, "")
        if shared not in self._made:
            for name in (AUDIT, EVENTS):
                await _create(database, name)
            await _create_indexes(database, cells.COLLECTION, [cells.EXPIRING])
            await _create_indexes(database, locks.COLLECTION, [locks.INDEX])
            await _create_indexes(database, receipts.COLLECTION, [receipts.INDEX])
            self._made.add(shared)
        for resource_type in types:
            key = (database.name, resource_type)
            if key not in self._made:
                await _create_indexes(database, resource_type, _indexes(resource_type))
                await _create_indexes(database, history_of(resource_type), [_VERSIONS, _CHANGES])
                self._made.add(key)


def _indexes(resource_type: str) -> list[dict[str, Any]]:
    indexes = list(_CURRENT)
    if main_date(resource_type):
        indexes.append(_SORTED)
    if resource_type == "Location":
        indexes.append(_POSITION)
    return indexes


async def _create(database: Database, name: str) -> None:
    try:
        await database.command({"create": name})
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:
            raise


async def _create_indexes(database: Database, name: str, indexes: list[dict[str, Any]]) -> None:
    await database.command({"createIndexes": name, "indexes": indexes})

"""What decisions see: documents loaded for a whole group of them, one find per collection."""

import asyncio
from collections.abc import Collection, Iterable
from datetime import datetime

from fhir_server.context import RequestContext
from fhir_server.decisions.criteria import Criteria
from fhir_server.fhir.errors import FhirError
from fhir_server.scheduling.plan import Cell
from fhir_server.scheduling.plan import Criteria as AnyCriteria
from fhir_server.store.cells import COLLECTION as CELLS
from fhir_server.store.cells import absent
from fhir_server.store.cells import from_document as cell_from_document
from fhir_server.store.find import LOCAL, Database, find, find_by_ids
from fhir_server.store.locks import COLLECTION as LOCKS
from fhir_server.store.matches import Matches, find_matches
from fhir_server.store.receipts import COLLECTION as RECEIPTS
from fhir_server.store.receipts import Receipt
from fhir_server.store.receipts import from_document as receipt_from_document
from fhir_server.store.stored import WITHOUT_INDEX, StoredVersion, from_current

Key = tuple[str, str]
"""Collection and document id; for `exists`, `?` and type, and the term."""


class NotLoaded(BaseException):
    """A decision asked for something that must be loaded first.

    Not an Exception, so that no decision swallows it by accident.
    """


class Snapshot:
    """The documents that the decisions of one group have asked for so far."""

    def __init__(self) -> None:
        self.resources: dict[Key, StoredVersion | None] = {}
        self.cells: dict[str, Cell] = {}
        self.terms: dict[Key, bool] = {}
        self.locks: dict[str, int] = {}
        self.receipts: dict[str, Receipt | None] = {}
        self.matches: dict[tuple[str, ...], Matches] = {}
        self.wanted: dict[tuple[str, ...], Criteria] = {}
        self.missing: dict[Key, None] = {}

    async def load(self, database: Database) -> None:
        """Load what is missing; afterwards every decision gets at least one step further.

        Raises:
            Transient: the database cannot be reached.
        """
        by_collection: dict[str, list[str]] = {}
        for collection, document_id in self.missing:
            by_collection.setdefault(collection, []).append(document_id)
        self.missing.clear()
        wanted = list(self.wanted.values())
        self.wanted.clear()
        loads = [self._load(database, name, ids) for name, ids in by_collection.items()]
        loads += [self._search(database, criteria) for criteria in wanted]
        if len(loads) == 1:
            await loads[0]
        else:
            await asyncio.gather(*loads)

    async def _load(self, database: Database, collection: str, ids: list[str]) -> None:
        if collection.startswith("?"):
            await self._load_terms(database, collection, ids)
        elif collection == LOCKS:
            documents = await find_by_ids(database, collection, ids, level=LOCAL)
            self.locks.update(dict.fromkeys(ids, 0))
            self.locks.update({one["_id"]: one["v"] for one in documents})
        elif collection == RECEIPTS:
            documents = await find_by_ids(database, collection, ids, level=LOCAL)
            self.receipts.update(dict.fromkeys(ids))
            self.receipts.update({one["_id"]: receipt_from_document(one) for one in documents})
        elif collection == CELLS:
            documents = await find_by_ids(database, collection, ids, level=LOCAL)
            self.cells.update({one: absent(one) for one in ids})
            self.cells.update({one["_id"]: cell_from_document(one) for one in documents})
        else:
            documents = await find_by_ids(
                database, collection, ids, projection=WITHOUT_INDEX, level=LOCAL
            )
            self.resources.update({(collection, one): None for one in ids})
            for document in documents:
                version = from_current(collection, document)
                self.resources[collection, version.id] = version

    async def _search(self, database: Database, criteria: Criteria) -> None:
        found = await find_matches(database, criteria)
        self.matches[criteria.key] = found
        if not isinstance(found, Exception):
            # Newer than what was loaded before, and what the decision will go by.
            self.resources.update({(one.type, one.id): one for one in found})

    async def _load_terms(self, database: Database, key: str, terms: Collection[str]) -> None:
        for term in terms:
            condition = {"ix.t": term, "deleted": False}
            found = await find(
                database, key[1:], condition, limit=1, projection={"_id": 1}, level=LOCAL
            )
            self.terms[key, term] = bool(found)


class MemberView:
    """One decision's view of the snapshot; remembers what was read.

    Attributes:
        reads: the keys of everything the decision has seen.
    """

    __slots__ = ("_snapshot", "base_url", "client", "now", "reads")

    def __init__(self, context: RequestContext, snapshot: Snapshot) -> None:
        self.now: datetime = context.now
        self.base_url: str = context.base_url
        self.client: str = context.principal.client_id if context.principal else ""
        self.reads: set[Key] = set()
        self._snapshot = snapshot

    def get(self, resource_type: str, logical_id: str) -> StoredVersion | None:
        """See `View.get`."""
        key = (resource_type, logical_id)
        self.reads.add(key)
        try:
            return self._snapshot.resources[key]
        except KeyError:
            raise self._missing(key) from None

    def cell(self, cell_id: str) -> Cell:
        """See `View.cell`."""
        key = (CELLS, cell_id)
        self.reads.add(key)
        try:
            return self._snapshot.cells[cell_id]
        except KeyError:
            raise self._missing(key) from None

    def find(self, criteria: AnyCriteria) -> tuple[StoredVersion, ...]:
        """See `View.find`. The locks are loaded before the search, never together with it.

        Raises:
            Transient: the search takes too long.
        """
        if not isinstance(criteria, Criteria) or not self._is_found(criteria):
            raise NotLoaded
        self.reads.update((LOCKS, name) for name in criteria.locks)
        found = self._snapshot.matches[criteria.key]
        if isinstance(found, FhirError):
            raise type(found)(found.diagnostics)
        self.reads.update((one.type, one.id) for one in found)
        return found

    def receipt(self, receipt_id: str) -> Receipt | None:
        """The receipt of a key that was used before."""
        key = (RECEIPTS, receipt_id)
        self.reads.add(key)
        try:
            return self._snapshot.receipts[receipt_id]
        except KeyError:
            raise self._missing(key) from None

    def exists(self, resource_type: str, term: str) -> bool:
        """See `View.exists`."""
        key = (f"?{resource_type}", term)
        try:
            return self._snapshot.terms[key]
        except KeyError:
            raise self._missing(key) from None

    def prefetch(
        self,
        *,
        resources: Iterable[Key] = (),
        cells: Iterable[str] = (),
        criteria: Iterable[AnyCriteria] = (),
    ) -> None:
        """See `View.prefetch`."""
        snapshot = self._snapshot
        missing = [key for key in resources if key not in snapshot.resources]
        missing += [(CELLS, one) for one in cells if one not in snapshot.cells]
        snapshot.missing.update(dict.fromkeys(missing))
        waiting = bool(missing)
        for one in criteria:
            waiting |= not self._is_found(one)
        if waiting:
            raise NotLoaded

    def _is_found(self, criteria: AnyCriteria) -> bool:
        """Whether the matches are at hand; else asks for the locks, and when they are for those."""
        if not isinstance(criteria, Criteria):
            raise TypeError("the store searches by its own criteria")
        snapshot = self._snapshot
        missing = [(LOCKS, name) for name in criteria.locks if name not in snapshot.locks]
        if missing:
            snapshot.missing.update(dict.fromkeys(missing))
            return False
        if criteria.key not in snapshot.matches:
            snapshot.wanted[criteria.key] = criteria
            return False
        return True

    def _missing(self, key: Key) -> NotLoaded:
        self._snapshot.missing[key] = None
        return NotLoaded()

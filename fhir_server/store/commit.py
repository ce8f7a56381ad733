"""One MongoDB transaction that writes the plans of a whole group, or nothing.

Every update names the version that its decision saw, every insert an id that was free, so a
decision that was overtaken cannot be written. The audit document of the group doubles as proof of
the outcome: its id is unique to the attempt, so whoever finds it knows that the group was written.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.audit.record import Record, bucket
from fhir_server.scheduling.plan import CellWrite
from fhir_server.store import cells
from fhir_server.store.collections import AUDIT, EVENTS, history_of
from fhir_server.store.documents import NewVersion
from fhir_server.store.errors import is_transient
from fhir_server.store.find import Database
from fhir_server.store.locks import COLLECTION as LOCKS
from fhir_server.store.locks import LockWrite
from fhir_server.store.locks import to_document as lock_document
from fhir_server.store.receipts import COLLECTION as RECEIPTS

Document = dict[str, Any]

_COMMIT_MILLISECONDS = 10_000
_COMMIT_ATTEMPTS = 3
_COMMAND_BYTES = 8_000_000
_COMMAND_DOCUMENTS = 1_000
_MAJORITY = WriteConcern("majority")
_DUPLICATE_KEY = 11_000
_STATEMENTS = {"insert": "documents", "update": "updates", "delete": "deletes"}
_UNKNOWN = "UnknownTransactionCommitResult"


class Overtaken(Exception):
    """Something the group wants to replace has changed meanwhile; nothing was written."""


class OutcomeUnknown(Exception):
    """The connection was lost during the commit and did not come back: it may have happened."""


@dataclass(frozen=True, slots=True)
class Amendment:
    """A change of a current version in place, without a new version and without an event.

    Attributes:
        version: the version that it is about.
        amended: how often that was amended before.
        changed: the new fields of the document of `<Type>`.
        changed_history: those of the document of `<Type>_history`.
    """

    type: str
    id: str
    version: int
    amended: int
    changed: Document
    changed_history: Document


@dataclass(slots=True)
class Batch:
    """What a group writes.

    Attributes:
        id: unique to this attempt; the id of its audit document.
        at: when it was put together.
        size: bytes of all versions as served.
    """

    id: str
    at: datetime
    versions: list[NewVersion] = field(default_factory=list)
    cells: list[CellWrite] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    locks: list[LockWrite] = field(default_factory=list)
    receipts: list[Document] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)
    size: int = 0


async def commit(client: AsyncMongoClient[Document], database: Database, batch: Batch) -> None:
    """Write the batch; on return it is held by a majority of the replica set.

    Raises:
        Overtaken: the group must be decided again.
        OutcomeUnknown: the database was lost at the worst moment.
        PyMongoError: anything else; nothing was written.
    """
    async with client.start_session(causal_consistency=False) as session:
        await session.start_transaction(
            read_concern=ReadConcern("local"),
            write_concern=_MAJORITY,
            max_commit_time_ms=_COMMIT_MILLISECONDS,
        )
        try:
            await _write(database, session, batch)
        except BaseException:
            await session.abort_transaction()
            raise
        await _finish(client, database, session, batch)


async def _write(database: Database, session: AsyncClientSession, batch: Batch) -> None:
    """What others compete for comes first: a group that was overtaken wastes the least work."""
    await _insert(database, session, RECEIPTS, batch.receipts)
    await _write_locks(database, session, batch)
    await _write_cells(database, session, batch.cells)
    by_type: dict[str, list[NewVersion]] = {}
    for one in batch.versions:
        by_type.setdefault(one.version.type, []).append(one)
    for resource_type, versions in sorted(by_type.items()):
        replaced = [
            _replacement(one.version.id, one.expected, one.current, one.amended)
            for one in versions
            if one.expected
        ]
        await _update(database, session, resource_type, replaced)
        new = [one.current for one in versions if not one.expected]
        await _insert(database, session, resource_type, new)
    for resource_type, versions in sorted(by_type.items()):
        history = [one.history for one in versions]
        await _insert(database, session, history_of(resource_type), history)
    await _amend(database, session, batch.amendments)
    await _insert(database, session, EVENTS, [one.event for one in batch.versions])
    await _insert(database, session, AUDIT, [bucket(batch.id, batch.at, batch.records)])


async def _write_locks(database: Database, session: AsyncClientSession, batch: Batch) -> None:
    taken = [(one, lock_document(one, batch.at)) for one in batch.locks]
    renewed = [
        _replacement(one.name, one.expected_version, document)
        for one, document in taken
        if one.expected_version
    ]
    await _update(database, session, LOCKS, renewed)
    new = [document for one, document in taken if not one.expected_version]
    await _insert(database, session, LOCKS, new)


async def _write_cells(
    database: Database, session: AsyncClientSession, writes: Sequence[CellWrite]
) -> None:
    replaced: list[Document] = []
    removed: list[Document] = []
    new: list[Document] = []
    for one in writes:
        if not one.expected_version:
            if one.entries:
                new.append(cells.to_document(one))
        elif one.entries:
            document = cells.to_document(one)
            replaced.append(_replacement(one.id, one.expected_version, document))
        else:
            removed.append({"q": {"_id": one.id, "v": one.expected_version}, "limit": 1})
    await _update(database, session, cells.COLLECTION, replaced)
    await _run(database, session, "delete", cells.COLLECTION, removed)
    await _insert(database, session, cells.COLLECTION, new)


def _replacement(
    document_id: str, expected: int, document: Document, amended: int | None = None
) -> Document:
    query: Document = {"_id": document_id, "v": expected}
    if amended is not None:
        # What was amended since the decision saw it must not get lost.
        query["a"] = amended or None
    return {"q": query, "u": document}


async def _amend(
    database: Database, session: AsyncClientSession, amendments: Sequence[Amendment]
) -> None:
    for one in amendments:
        query = {"_id": one.id, "v": one.version, "a": one.amended or None}
        change = {**one.changed, "a": one.amended + 1}
        await _update(database, session, one.type, [{"q": query, "u": {"$set": change}}])
        history = {"q": {"_id": f"{one.id}/{one.version}"}, "u": {"$set": one.changed_history}}
        await _update(database, session, history_of(one.type), [history])


async def _insert(
    database: Database, session: AsyncClientSession, name: str, documents: list[Document]
) -> None:
    await _run(database, session, "insert", name, documents)


async def _update(
    database: Database, session: AsyncClientSession, name: str, updates: list[Document]
) -> None:
    await _run(database, session, "update", name, updates)


async def _run(
    database: Database,
    session: AsyncClientSession,
    command: str,
    name: str,
    statements: list[Document],
) -> None:
    for some in _chunks(statements):
        try:
            reply = await database.command(
                {command: name, _STATEMENTS[command]: some}, session=session
            )
        except PyMongoError as error:
            # A lost connection is no sign of competition, although the driver labels it alike.
            if is_transient(error) and not isinstance(error, ConnectionFailure):
                raise Overtaken from error
            raise
        _check(reply, len(some))


def _check(reply: Document, expected: int) -> None:
    errors = reply.get("writeErrors")
    if errors:
        if errors[0]["code"] == _DUPLICATE_KEY:
            raise Overtaken
        raise OperationFailure(errors[0]["errmsg"], errors[0]["code"])
    if reply["n"] != expected:
        raise Overtaken


def _chunks(statements: list[Document]) -> Iterator[list[Document]]:
    """In the order given, each small enough for one message."""
    if not statements:
        return
    chunk: list[Document] = []
    size = 0
    for one in statements:
        weight = len((one.get("u") or one).get("json", b""))
        if chunk and (size + weight > _COMMAND_BYTES or len(chunk) == _COMMAND_DOCUMENTS):
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += weight
    yield chunk


async def _finish(
    client: AsyncMongoClient[Document],
    database: Database,
    session: AsyncClientSession,
    batch: Batch,
) -> None:
    for _ in range(_COMMIT_ATTEMPTS):
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label(_UNKNOWN):
                if is_transient(error):
                    raise Overtaken from error
                raise
        else:
            return
    with suppress(PyMongoError):
        # A commit that never arrived leaves the transaction open, and its documents locked.
        await client.admin.command({"killSessions": [session.session_id]})
    if not await _was_written(database, batch):
        raise Overtaken


async def _was_written(database: Database, batch: Batch) -> bool:
    """Settle a commit whose answer was lost.

    Inserting the same audit document again either fails, because the transaction was committed, or
    succeeds, and then the transaction can no longer be: it wanted the same id.
    """
    audit = database.get_collection(AUDIT, write_concern=_MAJORITY)
    last: PyMongoError | None = None
    for _ in range(_COMMIT_ATTEMPTS):
        try:
            await audit.insert_one({"_id": batch.id, "t": batch.at, "records": []})
        except DuplicateKeyError:
            return await _by_transaction(database, batch)
        except PyMongoError as error:
            last = error
        else:
            return False
    raise OutcomeUnknown from last


async def _by_transaction(database: Database, batch: Batch) -> bool:
    """Whether the audit document that is there is the transaction's, not an earlier attempt's."""
    audit = database.get_collection(AUDIT, read_concern=ReadConcern("majority"))
    found = await audit.find_one({"_id": batch.id})
    return bool(found and found["records"])

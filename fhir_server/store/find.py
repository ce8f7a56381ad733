"""Finds with as little overhead as the driver allows: one command, no cursor object."""

from collections.abc import Mapping, Sequence
from typing import Any

from bson.codec_options import CodecOptions
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, PyMongoError, ServerSelectionTimeoutError

from fhir_server.store.errors import translate
from fhir_server.store.lines import Client

Document = dict[str, Any]
Database = AsyncDatabase[Document]

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True)
BARE_TIMES: CodecOptions[Document] = CodecOptions(tz_aware=False)
"""Datetimes in UTC that do not say so: making one aware is a third of decoding a document."""

MAJORITY = {"level": "majority"}
"""What clients are shown must not vanish in a failover."""
LOCAL = {"level": "local"}
"""For decisions: their writes compare versions again, so the newest is best."""


async def find(
    database: Database,
    collection: str,
    condition: Mapping[str, Any],
    *,
    limit: int,
    projection: Mapping[str, Any] | None = None,
    sort: Mapping[str, int] | None = None,
    level: Mapping[str, str] = MAJORITY,
    milliseconds: int = 0,
    codec: CodecOptions[Document] = CODEC,
) -> list[Document]:
    """The first documents that match, at most `limit`.

    Args:
        database: where to search.
        collection: what to search; none there means no document.
        condition: a MongoDB filter.
        limit: most documents.
        projection: which fields; None for all.
        sort: fields and directions.
        level: the read concern.
        milliseconds: how long the server may search; 0 for as long as it takes.
        codec: how documents are decoded.

    Raises:
        Transient: the database cannot be reached or needed too long.
    """
    command: Document = {
        "find": collection,
        "filter": condition,
        "limit": limit,
        # With as many in the first batch as the limit allows the server keeps no cursor, unless
        # the documents exceed one reply.
        "batchSize": limit,
        "readConcern": level,
    }
    if projection is not None:
        command["projection"] = projection
    if sort:
        command["sort"] = sort
    if milliseconds:
        command["maxTimeMS"] = milliseconds
    try:
        return await _all(database, collection, command, codec)
    except PyMongoError as error:
        raise translate(error) from error


async def aggregate(
    database: Database,
    collection: str,
    stages: Sequence[Mapping[str, Any]],
    *,
    limit: int,
    milliseconds: int = 0,
    codec: CodecOptions[Document] = CODEC,
) -> list[Document]:
    """What the stages make of a collection; their last ones must leave at most `limit` documents.

    Raises:
        Transient: the database cannot be reached or needed too long.
    """
    command: Document = {
        "aggregate": collection,
        "pipeline": list(stages),
        "cursor": {"batchSize": limit},
        "allowDiskUse": True,
        "readConcern": MAJORITY,
    }
    if milliseconds:
        command["maxTimeMS"] = milliseconds
    try:
        return await _all(database, collection, command, codec)
    except PyMongoError as error:
        raise translate(error) from error


async def ask(
    database: Database, command: Document, *, codec: CodecOptions[Document] = CODEC
) -> Document:
    """The reply to a command that only reads and leaves no cursor open.

    Raises:
        PyMongoError: it could not be answered.
    """
    client = database.client
    if isinstance(client, Client) and client.lines is not None:
        reply = await client.lines.ask(database.name, command, codec)
        if reply is not None:
            return reply
    return await _ask_driver(database, command, codec)


async def _all(
    database: Database, collection: str, command: Document, codec: CodecOptions[Document]
) -> list[Document]:
    cursor = (await ask(database, command, codec=codec))["cursor"]
    found: list[Document] = cursor["firstBatch"]
    if not cursor["id"]:
        return found
    # More than one message holds. The driver's cursors belong to its sessions, so it starts anew.
    await ask(database, {"killCursors": collection, "cursors": [cursor["id"]]})
    cursor = (await _ask_driver(database, command, codec))["cursor"]
    found = cursor["firstBatch"]
    while cursor["id"]:
        more = {"getMore": cursor["id"], "collection": collection}
        cursor = (await database.command(more, codec_options=codec))["cursor"]
        found += cursor["nextBatch"]
    return found


async def _ask_driver(
    database: Database, command: Document, codec: CodecOptions[Document]
) -> Document:
    """The same by the driver; asked once more when the connection was lost under it."""
    try:
        return await database.command(command, codec_options=codec)
    except ServerSelectionTimeoutError:
        raise
    except AutoReconnect:
        return await database.command(command, codec_options=codec)


async def find_by_ids(
    database: Database,
    collection: str,
    ids: list[str],
    *,
    projection: Mapping[str, Any] | None = None,
    level: Mapping[str, str] = MAJORITY,
    codec: CodecOptions[Document] = CODEC,
) -> list[Document]:
    """The documents that exist among these ids, in no order."""
    condition = {"_id": ids[0] if len(ids) == 1 else {"$in": ids}}
    return await find(
        database,
        collection,
        condition,
        limit=len(ids),
        projection=projection,
        level=level,
        codec=codec,
    )

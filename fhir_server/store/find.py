"""Finds with as little overhead as the driver allows: one command, no cursor object."""

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, PyMongoError, ServerSelectionTimeoutError

from fhir_server.store.errors import translate

Document = dict[str, Any]
Database = AsyncDatabase[Document]

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True)

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
        reply = await _ask(database, command)
        cursor = reply["cursor"]
        found: list[Document] = cursor["firstBatch"]
        while cursor["id"]:
            more = {"getMore": cursor["id"], "collection": collection}
            cursor = (await database.command(more, codec_options=CODEC))["cursor"]
            found += cursor["nextBatch"]
    except PyMongoError as error:
        raise translate(error) from error
    return found


async def _ask(database: Database, command: Document) -> Document:
    """A command that only reads; asked once more when the connection was lost under it."""
    try:
        return await database.command(command, codec_options=CODEC)
    except ServerSelectionTimeoutError:
        raise
    except AutoReconnect:
        return await database.command(command, codec_options=CODEC)


async def find_by_ids(
    database: Database,
    collection: str,
    ids: list[str],
    *,
    projection: Mapping[str, Any] | None = None,
    level: Mapping[str, str] = MAJORITY,
) -> list[Document]:
    """The documents that exist among these ids, in no order."""
    condition = {"_id": ids[0] if len(ids) == 1 else {"$in": ids}}
    return await find(
        database, collection, condition, limit=len(ids), projection=projection, level=level
    )

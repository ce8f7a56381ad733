"""Rebuilds what searches use from the stored resources, after the artefacts have changed.

Safe while the server runs: no version is changed, and a resource that is written at the same time
keeps what its writer stored. Writers should be of the new version already.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from pymongo.errors import PyMongoError

from fhir_server.context import Clock, system_clock
from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.fhir import codec
from fhir_server.search.index import build_index
from fhir_server.settings import Settings
from fhir_server.store.collections import Collections
from fhir_server.store.database import Connection
from fhir_server.store.errors import translate
from fhir_server.store.find import Database, find
from fhir_server.store.index_version import is_index_current, store_index_version

BATCH = 200

Advance = Callable[[int], object]
"""Told how many more resources are done."""


async def count_resources(settings: Settings, registry: Registry) -> int:
    """About how many resources a `reindex` looks at.

    Raises:
        DatabaseUnusable: MongoDB cannot be used.
    """
    connection = await Connection.open(settings)
    try:
        return sum(
            [
                await database[definition.name].estimated_document_count()
                for _, database in await _databases(connection, settings)
                for definition in registry.types.values()
            ]
        )
    finally:
        await connection.close()


async def is_reindex_needed(settings: Settings, registry: Registry) -> bool:
    """Whether there are resources whose index documents were built from other artefacts.

    Raises:
        DatabaseUnusable: MongoDB cannot be used.
    """
    connection = await Connection.open(settings)
    try:
        return not await is_index_current(connection, registry)
    finally:
        await connection.close()


async def reindex(
    settings: Settings,
    registry: Registry,
    *,
    advance: Advance = lambda _: None,
    clock: Clock = system_clock,
) -> int:
    """Rebuild the index documents and compartments of every current resource.

    Args:
        settings: name the database and the base URL.
        registry: the artefacts to index by.
        advance: for a progress bar.
        clock: tells when it was done.

    Returns:
        How many were changed.

    Raises:
        DatabaseUnusable: MongoDB cannot be used.
        Transient: MongoDB was lost on the way; run it again.
    """
    connection = await Connection.open(settings)
    collections = Collections()
    changed = 0
    try:
        for base_url, database in await _databases(connection, settings):
            await collections.ensure(database, registry.types)
            for definition in registry.types.values():
                changed += await _reindex_type(database, definition, base_url, advance)
        await store_index_version(connection, registry, clock())
    except PyMongoError as error:
        raise translate(error) from error
    finally:
        await connection.close()
    return changed


async def _databases(connection: Connection, settings: Settings) -> list[tuple[str, Database]]:
    """Each tenant's FHIR base URL and database."""
    return [
        (settings.base_url_of(tenant), connection.tenant(tenant))
        for tenant in await connection.tenants()
    ]


async def _reindex_type(
    database: Database, definition: TypeDefinition, base_url: str, advance: Advance
) -> int:
    changed = 0
    async for batch in _batches(database, definition.name):
        updates = [
            update for document in batch if (update := _update(document, definition, base_url))
        ]
        if updates:
            reply = await database.command(
                {
                    "update": definition.name,
                    "updates": updates,
                    "ordered": False,
                    "writeConcern": {"w": "majority"},
                }
            )
            changed += reply["n"]
        advance(len(batch))
    return changed


async def _batches(database: Database, name: str) -> AsyncIterator[list[dict[str, Any]]]:
    after: dict[str, str] = {}
    while True:
        batch = await find(
            database,
            name,
            {"deleted": False, **({"_id": after} if after else {})},
            limit=BATCH,
            sort={"_id": 1},
        )
        if not batch:
            return
        yield batch
        after = {"$gt": batch[-1]["_id"]}


def _update(
    document: dict[str, Any], definition: TypeDefinition, base_url: str
) -> dict[str, Any] | None:
    """The change that a document needs, limited to the version it was built from."""
    index = build_index(definition, codec.decode(document["json"]), base_url)
    if index.ix == document["ix"] and index.acl == document["acl"]:
        return None
    return {
        "q": {"_id": document["_id"], "v": document["v"]},
        "u": {"$set": {"ix": index.ix, "acl": index.acl}},
    }

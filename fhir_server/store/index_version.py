"""Whether the stored index documents were built from the present artefacts."""

from datetime import datetime

from pymongo.errors import PyMongoError

from fhir_server.definitions.registry import Registry
from fhir_server.store.database import Connection
from fhir_server.store.errors import DatabaseUnusable, IndexOutdated

INDEX_FORMAT = 2
"""Raise it when `search.index` builds other index documents from the same artefacts."""

_COLLECTION = "instance"
_ID = "index"


def index_version(registry: Registry) -> str:
    """Names what the index documents of this program look like."""
    return f"{INDEX_FORMAT}:{registry.artefact_hash}"


async def is_index_current(connection: Connection, registry: Registry) -> bool:
    """Whether no index document of another version is stored."""
    stored = await _stored_version(connection)
    if stored is None or stored == index_version(registry):
        return True
    return not await _has_data(connection, registry)


async def check_index(connection: Connection, registry: Registry) -> None:
    """Accept index documents of the present version; an empty database becomes one.

    Raises:
        IndexOutdated: there are others.
        DatabaseUnusable: the database cannot be read.
    """
    try:
        if not await is_index_current(connection, registry):
            raise IndexOutdated(
                "the artefacts have changed since the stored resources were indexed; "
                "run `fhir-server reindex`"
            )
        if await _stored_version(connection) != index_version(registry):
            await store_index_version(connection, registry)
    except PyMongoError as error:
        raise DatabaseUnusable(
            f"the database does not answer as it should ({type(error).__name__}); "
            "look into MongoDB's log"
        ) from error


async def store_index_version(
    connection: Connection, registry: Registry, now: datetime | None = None
) -> None:
    """Declare every index document to be of the present version."""
    change = {"version": index_version(registry)}
    await connection.control[_COLLECTION].update_one(
        {"_id": _ID}, {"$set": {**change, **({"t": now} if now else {})}}, upsert=True
    )


async def _stored_version(connection: Connection) -> str | None:
    found = await connection.control[_COLLECTION].find_one({"_id": _ID})
    return found["version"] if found else None


async def _has_data(connection: Connection, registry: Registry) -> bool:
    for tenant in await connection.tenants():
        database = connection.tenant(tenant)
        for name in set(await database.list_collection_names()) & set(registry.types):
            if await database[name].find_one({"deleted": False}, {"_id": 1}):
                return True
    return False

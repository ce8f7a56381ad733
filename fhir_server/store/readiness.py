"""Whether a write would find a primary."""

from pymongo.errors import PyMongoError

from fhir_server.store.database import Connection


async def has_primary(connection: Connection) -> bool:
    """Whether the replica set has a primary that answers within a second."""
    try:
        hello = await connection.client.admin.command("hello", maxTimeMS=1_000)
    except PyMongoError:
        return False
    return bool(hello.get("isWritablePrimary") or hello.get("msg") == "isdbgrid")

"""The versions of one resource, newest first (https://hl7.org/fhir/R4/http.html#history)."""

from dataclasses import dataclass

from fhir_server.store.collections import history_of
from fhir_server.store.find import Database, find
from fhir_server.store.stored import StoredVersion, from_history


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of a resource's history.

    Attributes:
        entries: the versions, newest first.
        total: how many versions there are, on all pages; None where a token sees only some.
        next_before: asks for the next page; None on the last one.
    """

    entries: tuple[StoredVersion, ...]
    total: int | None
    next_before: int | None


async def load_version(
    database: Database, resource_type: str, logical_id: str, version: int
) -> StoredVersion | None:
    """One version, or None.

    Raises:
        Transient: the database cannot be reached.
    """
    documents = await find(
        database, history_of(resource_type), {"_id": f"{logical_id}/{version}"}, limit=1
    )
    return from_history(resource_type, documents[0]) if documents else None


async def load_versions(
    database: Database, resource_type: str, logical_id: str, *, limit: int, before: int | None
) -> list[StoredVersion]:
    """Versions, newest first.

    Args:
        database: the tenant's.
        resource_type: the resource's type.
        logical_id: the resource's id.
        limit: most versions.
        before: only versions older than this one.

    Raises:
        Transient: the database cannot be reached.
    """
    condition: dict[str, object] = {"id": logical_id}
    if before is not None:
        condition["v"] = {"$lt": before}
    documents = await find(
        database, history_of(resource_type), condition, limit=limit, sort={"id": 1, "v": -1}
    )
    return [from_history(resource_type, one) for one in documents]

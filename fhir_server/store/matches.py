"""The matches of conditional criteria, for decisions."""

from typing import Any

from pymongo.errors import ExecutionTimeout

from fhir_server.decisions.criteria import Criteria
from fhir_server.fhir.errors import FhirError, Transient
from fhir_server.search.predicate import mongo_filter
from fhir_server.store.find import LOCAL, Database, find
from fhir_server.store.stored import WITHOUT_INDEX, StoredVersion, from_current

_MILLISECONDS = 2_000
"""Others wait for the same group of decisions."""

Matches = tuple[StoredVersion, ...] | FhirError


async def find_matches(database: Database, criteria: Criteria) -> Matches:
    """The live resources that match, at most `criteria.most`; or why this search cannot be done.

    Raises:
        Transient: the database cannot be reached.
    """
    parts: list[dict[str, Any]] = [mongo_filter(criteria.request), {"deleted": False}]
    if criteria.restriction is not None:
        parts.append(criteria.restriction.mongo_filter())
    try:
        documents = await find(
            database,
            criteria.type,
            {"$and": [one for one in parts if one]},
            limit=criteria.most,
            projection=WITHOUT_INDEX,
            level=LOCAL,
            milliseconds=_MILLISECONDS,
        )
    except Transient as error:
        if isinstance(error.__cause__, ExecutionTimeout):
            return error
        raise
    return tuple(from_current(criteria.type, one) for one in documents)

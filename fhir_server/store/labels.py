"""The tags, security labels and profiles that stored resources have, each found once.

https://hl7.org/fhir/R4/resource-operation-meta.html
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fhir_server.context import RequestContext
from fhir_server.fhir.errors import TooCostly
from fhir_server.fhir.types import Json
from fhir_server.search.condition import successor
from fhir_server.settings import Settings
from fhir_server.store.find import aggregate, find
from fhir_server.store.joins import LIVE
from fhir_server.store.store import Store
from fhir_server.store.stored import SERVED, from_current

_MOST: Final = 2_000
"""Most different index terms of one type."""
_STARTS: Final = ("_profile=", "_security=", "_tag=")


async def metas(
    store: Store, settings: Settings, context: RequestContext, types: Iterable[str]
) -> list[Json]:
    """The metas of as many resources of the types as it takes to see every label in use.

    Raises:
        Forbidden: the token may not search a type.
        TooCostly: a type has too many different labels.
        Transient: the database cannot be reached or needed too long.
    """
    found = await asyncio.gather(*(_metas(store, settings, context, name) for name in types))
    return [meta for some in found for meta in some]


async def _metas(
    store: Store, settings: Settings, context: RequestContext, resource_type: str
) -> list[Json]:
    milliseconds = max(1, round(settings.search_seconds * 1_000))
    restriction = (await store.searches(context)).restrict(resource_type)
    wanted: list[dict[str, Any]] = [{"$or": list(_ranges())}, LIVE]
    if restriction is not None:
        wanted.append(restriction.mongo_filter())
    groups = await aggregate(
        store.database(context.tenant),
        resource_type,
        [
            {"$match": {"$and": wanted}},
            {"$project": {"t": {"$filter": {"input": "$ix.t", "cond": _is_label()}}}},
            {"$unwind": "$t"},
            {"$group": {"_id": "$t", "holder": {"$first": "$_id"}}},
            {"$limit": _MOST + 1},
        ],
        limit=_MOST + 1,
        milliseconds=milliseconds,
    )
    if len(groups) > _MOST:
        raise TooCostly(f"{resource_type} resources have too many different labels to list")
    holders = sorted({one["holder"] for one in groups})
    documents = await find(
        store.database(context.tenant),
        resource_type,
        {"$and": [{"_id": {"$in": holders}}, *wanted[1:]]},
        limit=_MOST,
        projection=SERVED,
        milliseconds=milliseconds,
    )
    return [from_current(resource_type, one).resource["meta"] for one in documents]


def _ranges() -> Iterator[dict[str, Any]]:
    for start in _STARTS:
        yield {"ix.t": {"$elemMatch": {"$gte": start, "$lt": successor(start)}}}


def _is_label() -> dict[str, Any]:
    bounds = [
        {"$and": [{"$gte": ["$$this", start]}, {"$lt": ["$$this", successor(start)]}]}
        for start in _STARTS
    ]
    return {"$or": bounds}

"""The history of types: versions of many resources, newest first.

A page is found in two steps: the positions of all types together, from an index alone, and then
the versions that are on the page. Versions of the same millisecond are ordered by type, version
and id, so that pages neither repeat nor miss any.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from fhir_server.auth.restrictions import Restriction
from fhir_server.fhir.dates import microseconds, moment_of
from fhir_server.fhir.history_query import HistoryQuery
from fhir_server.search import paging
from fhir_server.store.collections import history_of
from fhir_server.store.find import Database, find, find_by_ids
from fhir_server.store.stored import WITHOUT_INDEX, StoredVersion, from_current, from_history

Filter = dict[str, Any]
Restrictions = Mapping[str, Restriction | None]

_ORDER: Final = {"t": -1, "v": -1, "_id": -1}
_KEYS: Final = {"t": 1, "v": 1}
_MOST_LOOKED_AT: Final = 5_000
"""Positions looked at for one page, most of which may turn out not to be asked for."""
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


class Position(NamedTuple):
    """Where a version stands; the order of fields, the first two descending, is that of pages."""

    at: datetime
    type: str
    version: int
    key: str

    @property
    def order(self) -> tuple[float, str, int, str]:
        """Sorts newest first, once the keys are reversed."""
        return (-microseconds(self.at), self.type, -self.version, self.key)


class ChangePage(NamedTuple):
    """A part of the history.

    Attributes:
        entries: newest first.
        next: the value of `_page` for the next page; None on the last one.
    """

    entries: tuple[StoredVersion, ...]
    next: str | None


async def load_changes(
    database: Database, restrictions: Restrictions, query: HistoryQuery, *, secret: bytes
) -> ChangePage:
    """A page of the history of several types.

    Args:
        database: the tenant's.
        restrictions: the types, and what of each the token allows to see.
        query: what is asked for.
        secret: signs the positions of pages.

    Raises:
        Invalid: `_page` is not a page of this history.
        Transient: the database cannot be reached.
    """
    bound_to = _fingerprint(restrictions, query)
    after = None
    if query.page is not None:
        after = _position(paging.decode(secret, bound_to, query.page).position)
    if query.count == 0:
        return ChangePage((), None)
    chosen: list[Position] = []
    looked_at = 0
    more = True
    while more and len(chosen) < query.count and looked_at < _MOST_LOOKED_AT:
        found = await _positions(database, list(restrictions), query, after, query.count + 1)
        more = len(found) > query.count
        some = found[: query.count]
        looked_at += len(some)
        current = await _current_then(database, some, query)
        for one in some:
            if len(chosen) == query.count:
                more = True
                break
            after = one
            if current is None or one in current:
                chosen.append(one)
    entries = await _versions(database, chosen, restrictions)
    if not more or after is None:
        return ChangePage(entries, None)
    position = (microseconds(after.at), after.type, after.version, after.key)
    return ChangePage(entries, paging.encode(secret, bound_to, position, "next"))


def _fingerprint(restrictions: Restrictions, query: HistoryQuery) -> bytes:
    given = {name: value for name, value in query.given.items() if name != "_page"}
    told = json.dumps(["history", sorted(restrictions), sorted(given.items())])
    return hashlib.sha256(told.encode()).digest()


def _position(values: paging.Position) -> Position:
    at, resource_type, version, key = values
    moment = moment_of(int(at))
    return Position(moment, str(resource_type), int(version), str(key))


async def _positions(
    database: Database,
    types: Sequence[str],
    query: HistoryQuery,
    after: Position | None,
    limit: int,
) -> list[Position]:
    async def of_type(name: str) -> list[Position]:
        documents = await find(
            database,
            history_of(name),
            _condition(name, query, after),
            limit=limit,
            projection=_KEYS,
            sort=_ORDER,
        )
        return [Position(one["t"], name, one["v"], one["_id"]) for one in documents]

    found = [one for some in await asyncio.gather(*map(of_type, types)) for one in some]
    # By key descending first: sorting is stable, so that it breaks the ties.
    found.sort(key=lambda one: one.key, reverse=True)
    found.sort(key=lambda one: one.order[:3])
    return found[:limit]


def _condition(name: str, query: HistoryQuery, after: Position | None) -> Filter:
    written: Filter = {}
    parts: list[Filter] = []
    if query.since is not None:
        written["$gte"] = query.since
    if query.at is not None:
        parts.append({"t": {"$lte": _moment(query.at.high)}})
    if after is not None:
        written["$lte" if name >= after.type else "$lt"] = after.at
        if name == after.type:
            parts.append(
                {
                    "$nor": [
                        {"t": after.at, "v": {"$gt": after.version}},
                        {"t": after.at, "v": after.version, "_id": {"$gte": after.key}},
                    ]
                }
            )
    if written:
        parts.append({"t": written})
    return {"$and": parts} if parts else {}


async def _current_then(
    database: Database, found: Sequence[Position], query: HistoryQuery
) -> set[Position] | None:
    """Those that were current at some point of `_at`; None when it is not given.

    What was written within the period was; what is older was unless its successor is older too.
    """
    if query.at is None:
        return None
    old = [one for one in found if query.is_start(one.at)]
    successors: dict[str, list[str]] = {}
    for one in old:
        successors.setdefault(one.type, []).append(_successor(one))
    superseded: set[tuple[str, str]] = set()
    for name, ids in successors.items():
        documents = await find_by_ids(database, history_of(name), ids, projection=_KEYS)
        superseded |= {(name, one["_id"]) for one in documents if query.is_start(one["t"])}
    return {
        one
        for one in found
        if not query.is_start(one.at) or (one.type, _successor(one)) not in superseded
    }


def _successor(position: Position) -> str:
    return f"{position.key.rpartition('/')[0]}/{position.version + 1}"


async def _versions(
    database: Database, chosen: Sequence[Position], restrictions: Restrictions
) -> tuple[StoredVersion, ...]:
    """The versions at these positions that the token allows to see."""
    by_type: dict[str, list[str]] = {}
    for one in chosen:
        by_type.setdefault(one.type, []).append(one.key)
    found: dict[tuple[str, str], StoredVersion] = {}
    for name, keys in by_type.items():
        documents = await find_by_ids(database, history_of(name), keys)
        versions = {one["_id"]: from_history(name, one) for one in documents}
        restriction = restrictions[name]
        if restriction is not None:
            versions = await _admitted(database, name, versions, restriction)
        found.update({(name, key): version for key, version in versions.items()})
    return tuple(found[one.type, one.key] for one in chosen if (one.type, one.key) in found)


async def _admitted(
    database: Database,
    resource_type: str,
    versions: Mapping[str, StoredVersion],
    restriction: Restriction,
) -> dict[str, StoredVersion]:
    """Versions within the restriction of resources that still are: as in the history of one."""
    ids = sorted({one.id for one in versions.values()})
    documents = await find_by_ids(database, resource_type, ids, projection=WITHOUT_INDEX)
    reached = {
        one.id
        for one in (from_current(resource_type, document) for document in documents)
        if not one.deleted and restriction.admits_resource(one.resource)
    }
    return {
        key: one
        for key, one in versions.items()
        if one.id in reached and not one.deleted and restriction.admits_resource(one.resource)
    }


def _moment(value: int) -> datetime:
    try:
        return moment_of(value)
    except OverflowError:
        return _LAST if value > 0 else _FIRST

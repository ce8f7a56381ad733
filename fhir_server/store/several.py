"""Pages of several types: one query for the order of each type, one for the resources shown.

The matches of all types stand in one order: by the last update, then type and id; or by id, then
type. A position says where it stands in this order, whatever the type of its match.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_server.auth.restrictions import Restriction
from fhir_server.fhir.errors import Invalid
from fhir_server.search import paging
from fhir_server.search.paging import Cursor, Direction, Position
from fhir_server.search.predicate import is_selective
from fhir_server.search.request import SearchRequest
from fhir_server.search.several import SeveralRequest
from fhir_server.search.sorting import Sort
from fhir_server.store.find import Database, Document, find
from fhir_server.store.includes import Linked, linked
from fhir_server.store.joins import EVERYTHING
from fhir_server.store.query import Filter, Found, all_of, count_matches, wanted_of
from fhir_server.store.stored import SERVED

Allowed = Mapping[str, Restriction | None]


@dataclass(frozen=True, slots=True)
class Several:
    """Finds pages of several types.

    Attributes:
        database: the tenant's.
        secret: signs the positions of pages.
        milliseconds: how long the database may work on one query.
    """

    database: Database
    secret: bytes
    milliseconds: int

    async def page(self, several: SeveralRequest, allowed: Allowed) -> Found:
        """The page of matches of the allowed types.

        Raises:
            Invalid: `_page` is not a page of this search.
            Transient: the database cannot be reached or needed too long.
        """
        bound_to = paging.fingerprint_of(
            [several.compartment, [one.type for one in several.requests]], several.pairs_used
        )
        token = several.first.page_token
        cursor = paging.decode(self.secret, bound_to, token) if token else None
        total = None
        if several.first.total != "none":
            counts = [self._count(one, allowed[one.type]) for one in several.requests]
            total = sum(await asyncio.gather(*counts))
        if several.first.count == 0:
            return Found((), total, None, None)
        return (await self._found(several, allowed, cursor, bound_to))._replace(total=total)

    async def _found(
        self, several: SeveralRequest, allowed: Allowed, cursor: Cursor | None, bound_to: bytes
    ) -> Found:
        sort, count = several.first.sort, several.first.count
        direction: Direction = cursor.direction if cursor else "next"
        listed = await asyncio.gather(
            *(self._positions(one, allowed[one.type], cursor) for one in several.requests)
        )
        backwards = sort.descending != (direction == "previous")
        positions = sorted((one for some in listed for one in some), reverse=backwards)
        more = len(positions) > count
        positions = positions[:count]
        if direction == "previous":
            positions.reverse()
        if not positions:
            return Found((), None, None, None)
        has_next = more if direction == "next" else True
        has_previous = cursor is not None if direction == "next" else more

        def token(position: Position, towards: Direction) -> str:
            return paging.encode(self.secret, bound_to, position, towards)

        return Found(
            await self._resources(several, allowed, [_key(sort, one) for one in positions]),
            None,
            token(positions[-1], "next") if has_next else None,
            token(positions[0], "previous") if has_previous else None,
        )

    async def _positions(
        self, request: SearchRequest, restriction: Restriction | None, cursor: Cursor | None
    ) -> list[Position]:
        wanted = wanted_of(request, restriction)
        if not is_selective(request.clauses):
            wanted.append(EVERYTHING)
        if cursor:
            wanted.append(_after(request.sort, request.type, cursor))
        direction: Direction = cursor.direction if cursor else "next"
        documents = await find(
            self.database,
            request.type,
            all_of(wanted),
            limit=request.count + 1,
            projection={"_id": 1, "ix.u": 1},
            sort=paging.sort_spec(request.sort, direction),
            milliseconds=self.milliseconds,
        )
        return [_position(request.sort, request.type, one) for one in documents]

    async def _resources(
        self, several: SeveralRequest, allowed: Allowed, keys: Sequence[tuple[str, str]]
    ) -> list[Linked]:
        ids: dict[str, list[str]] = {}
        for name, logical_id in keys:
            ids.setdefault(name, []).append(logical_id)
        projection: Document = {**SERVED, "ix.t": 1}
        finds = [
            find(
                self.database,
                one.type,
                # What has changed meanwhile must still be a match to be shown.
                all_of([{"_id": {"$in": ids[one.type]}}, *wanted_of(one, allowed[one.type])]),
                limit=len(ids[one.type]),
                projection=projection,
                milliseconds=self.milliseconds,
            )
            for one in several.requests
            if one.type in ids
        ]
        names = [one.type for one in several.requests if one.type in ids]
        found = {
            (name, document["_id"]): linked(name, document)
            for name, documents in zip(names, await asyncio.gather(*finds), strict=True)
            for document in documents
        }
        return [found[key] for key in keys if key in found]

    async def _count(self, request: SearchRequest, restriction: Restriction | None) -> int:
        return await count_matches(
            self.database, request, wanted_of(request, restriction), self.milliseconds
        )


def _position(sort: Sort, resource_type: str, document: Document) -> Position:
    if sort.path == "_id":
        return document["_id"], resource_type
    return document["ix"]["u"], resource_type, document["_id"]


def _key(sort: Sort, position: Position) -> tuple[str, str]:
    name, logical_id = (position[1], position[0]) if sort.path == "_id" else position[1:]
    return str(name), str(logical_id)


def _after(sort: Sort, resource_type: str, cursor: Cursor) -> Filter:
    """What of a type lies after a position in the order of all types."""
    if len(cursor.position) != (2 if sort.path == "_id" else 3):
        raise Invalid("_page is not a page of this search")
    backwards = sort.descending != (cursor.direction == "previous")
    beyond = "$lt" if backwards else "$gt"
    value, name = cursor.position[0], str(cursor.position[1])
    if resource_type == name:
        if sort.path == "_id":
            return {"_id": {beyond: value}}
        within = Cursor((value, cursor.position[2]), cursor.direction)
        return paging.keyset_filter(sort, within)
    # At the same value the types follow each other.
    is_later = (resource_type < name) if backwards else (resource_type > name)
    return {sort.path: {f"{beyond}e" if is_later else beyond: value}}

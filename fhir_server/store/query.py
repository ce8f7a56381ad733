"""Searches: one find for a page, one count when a total is asked for.

https://hl7.org/fhir/R4/search.html
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pymongo.errors import PyMongoError

from fhir_server.auth.restrictions import Restriction
from fhir_server.search import paging
from fhir_server.search.paging import Cursor, Direction
from fhir_server.search.predicate import is_selective, mongo_filter
from fhir_server.search.request import SearchRequest
from fhir_server.store.errors import translate
from fhir_server.store.find import BARE_TIMES, MAJORITY, Database, Document, aggregate, ask, find
from fhir_server.store.includes import NOTHING, Included, Linked
from fhir_server.store.joins import EVERYTHING, LIVE
from fhir_server.store.stored import SERVED, StoredVersion, from_current

Filter = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A part of the matches.

    Attributes:
        matches: in the order asked for.
        total: how many there are on all pages; None unless asked for.
        next: the value of `_page` for the next page; None when this is the last.
        previous: the same for the page before; None when this is the first.
        included: what stands beside the matches.
    """

    matches: tuple[StoredVersion, ...]
    total: int | None
    next: str | None
    previous: str | None
    included: Included = NOTHING


class Found(NamedTuple):
    """The matches of a page before anything stands beside them.

    Attributes:
        matches: with the terms of their references, which are empty unless asked for.
        total: as in `SearchPage`.
        next: as in `SearchPage`.
        previous: as in `SearchPage`.
    """

    matches: Sequence[Linked]
    total: int | None
    next: str | None
    previous: str | None

    def page(self, included: Included = NOTHING) -> SearchPage:
        """The page with what stands beside the matches."""
        versions = tuple(one.version for one in self.matches)
        return SearchPage(versions, self.total, self.next, self.previous, included)


async def search(
    database: Database,
    request: SearchRequest,
    restriction: Restriction | None,
    *,
    secret: bytes,
    milliseconds: int,
) -> Found:
    """The page of matches that a request asks for.

    Args:
        database: the tenant's.
        request: what is asked, its chains resolved.
        restriction: what the token allows to see; None for everything.
        secret: signs the positions of pages.
        milliseconds: how long the database may work on it.

    Raises:
        Invalid: `_page` is not a page of this search.
        Transient: the database cannot be reached or needed too long.
    """
    cursor = paging.cursor(secret, request)
    wanted = wanted_of(request, restriction)
    if request.count == 0:
        return Found((), await count_matches(database, request, wanted, milliseconds), None, None)
    page = _page(database, request, cursor, wanted, secret=secret, milliseconds=milliseconds)
    if request.total == "none":
        return await page
    # A page that holds all matches counts them by itself, but that is known only afterwards:
    # asking for both at once costs the least time.
    found, total = await asyncio.gather(
        page, count_matches(database, request, wanted, milliseconds)
    )
    return found._replace(total=total)


def wanted_of(request: SearchRequest, restriction: Restriction | None) -> list[Filter]:
    """What all matches must fulfil, its chains resolved."""
    found = [mongo_filter(request), LIVE]
    if restriction is not None:
        found.append(restriction.mongo_filter())
    return [one for one in found if one]


async def _page(
    database: Database,
    request: SearchRequest,
    cursor: Cursor | None,
    wanted: list[Filter],
    *,
    secret: bytes,
    milliseconds: int,
) -> Found:
    direction = cursor.direction if cursor else "next"
    documents = await _documents(database, request, cursor, wanted, milliseconds)
    more = len(documents) > request.count
    del documents[request.count :]
    if direction == "previous":
        documents.reverse()
    if not documents:
        return Found((), None, None, None)
    has_next = more if direction == "next" else True
    has_previous = cursor is not None if direction == "next" else more

    def token(document: Document, towards: Direction) -> str:
        position = paging.position_of(request.sort, document)
        return paging.encode(secret, paging.fingerprint(request), position, towards)

    return Found(
        [Linked(from_current(request.type, one), _terms(one)) for one in documents],
        None,
        token(documents[-1], "next") if has_next else None,
        token(documents[0], "previous") if has_previous else None,
    )


async def _documents(
    database: Database,
    request: SearchRequest,
    cursor: Cursor | None,
    wanted: list[Filter],
    milliseconds: int,
) -> list[Document]:
    after = [paging.keyset_filter(request.sort, cursor)] if cursor else []
    sort = paging.sort_spec(request.sort, cursor.direction if cursor else "next")
    projection: Document = {**SERVED, **({"ix.t": 1} if request.includes else {})}
    projection |= dict.fromkeys(sort, 1)
    limit = request.count + 1
    if not request.sort.keys:
        return await find(
            database,
            request.type,
            all_of([*wanted, *after]),
            limit=limit,
            projection=projection,
            sort=sort,
            milliseconds=milliseconds,
            codec=BARE_TIMES,
        )
    if not is_selective(request.clauses):
        wanted = [*wanted, EVERYTHING]
    stages: list[Document] = [
        {"$match": all_of(wanted)},
        {"$set": paging.computed_keys(request.sort)},
        *({"$match": one} for one in after),
        {"$sort": sort},
        {"$limit": limit},
        {"$project": projection},
    ]
    return await aggregate(
        database,
        request.type,
        stages,
        limit=limit,
        milliseconds=milliseconds,
        codec=BARE_TIMES,
    )


async def count_matches(
    database: Database, request: SearchRequest, wanted: list[Filter], milliseconds: int
) -> int:
    """How many there are.

    Raises:
        Transient: the database cannot be reached or needed too long.
    """
    if not is_selective(request.clauses):
        wanted = [*wanted, EVERYTHING]
    command: Document = {
        "count": request.type,
        "query": all_of(wanted),
        "maxTimeMS": milliseconds,
        "readConcern": MAJORITY,
    }
    try:
        reply = await ask(database, command)
    except PyMongoError as error:
        raise translate(error) from error
    counted: int = reply["n"]
    return counted


def _terms(document: Document) -> Sequence[str]:
    found: Sequence[str] = document.get("ix", {}).get("t", ())
    return found


def all_of(filters: list[Filter]) -> Filter:
    """A conjunction, without one when there is nothing to join."""
    return filters[0] if len(filters) == 1 else {"$and": filters}

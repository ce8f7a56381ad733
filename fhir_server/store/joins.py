"""Chains and `_has` become conditions on the resources searched: one query for each hop.

The resources on the way are those that the token may search, and no others, so that what they
hold cannot be found out by asking about resources that refer to them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.auth.restrictions import Restriction
from fhir_server.fhir.errors import TooCostly
from fhir_server.search.condition import Condition, Ids, TermPrefix, Terms, successor
from fhir_server.search.criteria import Chain, Clause, Hop
from fhir_server.search.predicate import clauses_filter, is_selective
from fhir_server.search.request import SearchRequest
from fhir_server.store.find import Database, Document, aggregate, find

Restrict = Callable[[str], Restriction | None]
"""Resource type -> what the token may search of it; None for everything. Raises Forbidden."""

Filter = dict[str, Any]

LIVE: Filter = {"deleted": False}
EVERYTHING: Filter = {"ix.u": {"$gte": -(2**63)}}
"""Holds for every resource, and gives MongoDB an index to read when nothing else does."""


@dataclass(frozen=True, slots=True)
class Joins:
    """Resolves the chains of searches.

    Attributes:
        database: the tenant's.
        restrict: what the token may search.
        most: how many resources a hop may find.
        milliseconds: how long the database may work on one hop.
    """

    database: Database
    restrict: Restrict
    most: int
    milliseconds: int

    async def resolve(self, request: SearchRequest) -> SearchRequest:
        """The same search without chains.

        Raises:
            Forbidden: the token may not search a type on the way.
            TooCostly: a hop finds too many resources.
            Transient: the database cannot be reached or needed too long.
        """
        if not request.chains:
            return request
        restrictions = {
            name: self.restrict(name) for chain in request.chains for name in chain.types()
        }
        found = await asyncio.gather(*(self._clause(one, restrictions) for one in request.chains))
        return replace(request, clauses=(*request.clauses, *found), chains=())

    async def _clause(self, chain: Chain, restrictions: dict[str, Restriction | None]) -> Clause:
        found = await asyncio.gather(
            *(self._condition(chain, hop, restrictions) for hop in chain.hops)
        )
        if chain.reverse:
            return Clause("_id", "token", found[0])
        terms = [term for one in found if isinstance(one, Terms) for term in one.terms]
        return Clause(chain.hops[0].code, "reference", Terms(tuple(terms)))

    async def _condition(
        self, chain: Chain, hop: Hop, restrictions: dict[str, Restriction | None]
    ) -> Condition:
        within = hop.within
        clause = await self._clause(within, restrictions) if isinstance(within, Chain) else within
        wanted = [clauses_filter([clause]), LIVE]
        restriction = restrictions[hop.type]
        if restriction is not None:
            wanted.append(restriction.mongo_filter())
        if chain.reverse:
            return Ids(await self._referred(chain, hop, wanted))
        if not is_selective([clause]):
            wanted.append(EVERYTHING)
        documents = await find(
            self.database,
            hop.type,
            {"$and": wanted},
            limit=self.most + 1,
            projection={"_id": 1},
            milliseconds=self.milliseconds,
        )
        self._bound(chain, hop, len(documents))
        return Terms(tuple(f"{hop.code}={hop.type}/{one['_id']}" for one in documents))

    async def _referred(self, chain: Chain, hop: Hop, wanted: list[Filter]) -> tuple[str, ...]:
        start = f"{hop.code}={chain.type}/"
        is_referring = {"$gte": ["$$this", start]}, {"$lt": ["$$this", successor(start)]}
        referring = {"$filter": {"input": "$ix.t", "cond": {"$and": list(is_referring)}}}
        stages: list[Document] = [
            {"$match": {"$and": [*wanted, TermPrefix(start).mongo()]}},
            {"$project": {"_id": 0, "t": referring}},
            {"$unwind": "$t"},
            {"$group": {"_id": "$t"}},
            {"$limit": self.most + 1},
        ]
        documents = await aggregate(
            self.database, hop.type, stages, limit=self.most + 1, milliseconds=self.milliseconds
        )
        found = [one["_id"].removeprefix(start) for one in documents]
        self._bound(chain, hop, len(found))
        # Terms of references to one version stand beside those without.
        return tuple(one for one in found if "/" not in one and "|" not in one)

    def _bound(self, chain: Chain, hop: Hop, count: int) -> None:
        if count > self.most:
            kind = chain.type if chain.reverse else hop.type
            raise TooCostly(
                f"{chain.name}: more than {self.most} resources of type {kind} fulfil this; "
                "narrow it"
            )

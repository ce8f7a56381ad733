"""Searches as far as a token allows them (https://hl7.org/fhir/R4/search.html)."""

import asyncio
from dataclasses import dataclass, replace

from fhir_server.auth.restrictions import Restriction
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import Forbidden
from fhir_server.search.request import SearchRequest
from fhir_server.search.several import SeveralRequest
from fhir_server.settings import Settings
from fhir_server.store.find import Database
from fhir_server.store.includes import Includes
from fhir_server.store.joins import Joins, Restrict
from fhir_server.store.query import SearchPage, search
from fhir_server.store.several import Several


@dataclass(frozen=True, slots=True)
class Searches:
    """Answers searches of one request.

    Attributes:
        database: the tenant's.
        registry: the served types.
        settings: bound a search.
        restrict: what the token may search of a type.
        secret: signs the positions of pages.
    """

    database: Database
    registry: Registry
    settings: Settings
    restrict: Restrict
    secret: bytes

    async def page(self, request: SearchRequest) -> SearchPage:
        """A page of the matches of one type.

        Raises:
            Forbidden: the token may not search the type, one that a chain leads through, or any
                that an include asks for.
            TooCostly: a chain leads through too many resources.
            Invalid: the page is not one of this search.
            Transient: the database cannot be reached or needed too long.
        """
        restriction = self.restrict(request.type)
        allowed = self._includes.allowed(request.includes)
        found = await search(
            self.database,
            await self._joins.resolve(request),
            restriction,
            secret=self.secret,
            milliseconds=self._milliseconds,
        )
        if not (request.includes and found.matches):
            return found.page()
        return found.page(await self._includes.beside(found.matches, request.includes, allowed))

    async def page_of_several(self, several: SeveralRequest) -> SearchPage:
        """A page of the matches of several types.

        Types that the token may not search are left out, unless the client has named them.

        Raises:
            Forbidden: the token may not search a type that is named, or none at all.
            TooCostly, Invalid, Transient: as `page`.
        """
        allowed: dict[str, Restriction | None] = {}
        refused: Forbidden | None = None
        for one in several.requests:
            try:
                allowed[one.type] = self.restrict(one.type)
            except Forbidden as problem:
                refused = problem
        if refused is not None and (several.named or not allowed):
            raise refused
        includes = several.first.includes
        beside = self._includes.allowed(includes)
        resolved = await asyncio.gather(
            *(self._joins.resolve(one) for one in several.requests if one.type in allowed)
        )
        found = await Several(self.database, self.secret, self._milliseconds).page(
            replace(several, requests=tuple(resolved)), allowed
        )
        if not (includes and found.matches):
            return found.page()
        return found.page(await self._includes.beside(found.matches, includes, beside))

    @property
    def _joins(self) -> Joins:
        return Joins(self.database, self.restrict, self.settings.max_chained, self._milliseconds)

    @property
    def _includes(self) -> Includes:
        return Includes(
            self.database,
            self.registry,
            self.restrict,
            self.settings.max_included,
            self._milliseconds,
        )

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self.settings.search_seconds * 1_000))

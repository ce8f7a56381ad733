"""The resources that a find has to know besides Slots, one search for each kind of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.context import RequestContext
from fhir_server.fhir.errors import TooCostly
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.occupancy import target
from fhir_server.search.condition import Condition, Ids, Terms
from fhir_server.search.criteria import Clause
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.search.sorting import Sort
from fhir_server.store.searches import Searches

Ranks = dict[str, int]
"""`Type/id` -> place in the order of preference."""

IN_USE: Final = ("active:not", "false")
_DEEPEST: Final = 4


@dataclass(frozen=True, slots=True)
class Directory:
    """Searches on behalf of one caller.

    Attributes:
        searches: as far as the caller's token allows them.
        ctx: the request.
    """

    searches: Searches
    ctx: RequestContext

    def request(
        self,
        resource_type: str,
        pairs: Sequence[tuple[str, str]] = (),
        conditions: Mapping[str, Condition] | None = None,
    ) -> SearchRequest:
        """A search by parameters and by ready conditions, which all must hold.

        Raises:
            FhirError: a value is not legal.
        """
        asked = parse_search(
            self.searches.registry.types[resource_type],
            pairs,
            base_url=self.ctx.base_url,
            limits=self.searches.settings,
            now=self.ctx.now,
            registry=self.searches.registry,
        )
        ready = (Clause(code, "reference", one) for code, one in (conditions or {}).items())
        return replace(asked, clauses=(*asked.clauses, *ready), sort=Sort("_id"))

    async def find(
        self,
        resource_type: str,
        pairs: Sequence[tuple[str, str]] = (),
        conditions: Mapping[str, Condition] | None = None,
    ) -> list[Resource]:
        """All that match.

        Raises:
            Forbidden: the token may not search the type.
            TooCostly: there are too many.
            FhirError: a value is not legal.
        """
        most = self.searches.settings.find_max_schedules
        asked = replace(self.request(resource_type, pairs, conditions), count=most)
        page = await self.searches.page(asked)
        if page.next is not None:
            raise TooCostly(
                f"More than {most} resources of type {resource_type} are concerned; "
                "name practitioners, places or schedules more narrowly"
            )
        return [one.resource for one in page.matches]

    async def ids(
        self,
        resource_type: str,
        pairs: Sequence[tuple[str, str]] = (),
        conditions: Mapping[str, Condition] | None = None,
    ) -> list[str]:
        """`Type/id` of all that match, as `find`."""
        found = await self.find(resource_type, pairs, conditions)
        return [f"{resource_type}/{one['id']}" for one in found]

    async def referring(
        self, resource_type: str, code: str, field: str, ranks: Mapping[str, int]
    ) -> dict[str, tuple[int, Resource]]:
        """The resources in use that refer to any of these, with the rank that they inherit.

        Args:
            resource_type: their type.
            code: the search parameter by which they refer.
            field: the element that it searches.
            ranks: what they refer to.
        """
        if not ranks:
            return {}
        has_flag = "active" in self.searches.registry.types[resource_type].search_parameters
        found = await self.find(
            resource_type, (IN_USE,) if has_flag else (), {code: naming(code, ranks)}
        )
        return {
            f"{resource_type}/{one['id']}": (_rank(one.get(field), ranks, self.ctx.base_url), one)
            for one in found
        }

    async def within(self, resource_type: str, ranks: Ranks) -> Ranks:
        """These places or organizations with all that are part of them, a few levels deep."""
        reached = dict(ranks)
        level: Mapping[str, int] = ranks
        for _ in range(_DEEPEST):
            found = await self.referring(resource_type, "partof", "partOf", level)
            level = {name: rank for name, (rank, _) in found.items() if name not in reached}
            if not level:
                break
            reached |= level
        return reached

    async def named(self, references: Iterable[str], resource_type: str) -> list[Resource]:
        """Those of the references that lead to resources of a type, read."""
        ids = ids_of(references, resource_type)
        return await self.find(resource_type, (), {"_id": Ids(ids)}) if ids else []


def ids_of(references: Iterable[str], resource_type: str) -> tuple[str, ...]:
    """The logical ids of the references to a type."""
    start = f"{resource_type}/"
    return tuple(one.removeprefix(start) for one in references if one.startswith(start))


def naming(code: str, references: Collection[str]) -> Terms:
    """The condition that a reference parameter names any of these."""
    return Terms(tuple(f"{code}={one}" for one in references))


def _rank(value: object, ranks: Mapping[str, int], base_url: str) -> int:
    references = value if isinstance(value, list) else [value]
    found = (target(one, base_url) for one in references)
    return min((ranks.get(one or "", len(ranks)) for one in found), default=len(ranks))

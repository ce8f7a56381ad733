"""Constraints of granular scopes, compiled to what the store asks and what memory can judge.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from fhir_server.auth.policy import restriction
from fhir_server.auth.scopes import EVERY_TYPE, Constraint, Scope, parse_constraint
from fhir_server.context import Principal
from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.types import Json, Resource
from fhir_server.search.index import build_index
from fhir_server.search.predicate import matches, mongo_filter
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings

NOTHING: Final[dict[str, Any]] = {"_id": {"$in": []}}
"""A MongoDB filter that no document passes."""

# Only the prefix `ap` depends on the time of asking, and it is refused in constraints.
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Restriction:
    """The resources of one type that a token may touch in one interaction.

    Attributes:
        definition: the type.
        base_url: the FHIR base by which absolute references are recognised as our own.
        alternatives: a resource must match at least one; none means nothing is allowed.
    """

    definition: TypeDefinition
    base_url: str
    alternatives: tuple[SearchRequest, ...]

    def mongo_filter(self) -> dict[str, Any]:
        """The restriction on stored documents, to be combined with `$and`."""
        if not self.alternatives:
            return NOTHING
        filters = [mongo_filter(request) for request in self.alternatives]
        return filters[0] if len(filters) == 1 else {"$or": filters}

    def admits(self, ix: Json) -> bool:
        """Whether a resource with this index document is within the restriction."""
        return any(matches(request, ix) for request in self.alternatives)

    def admits_resource(self, resource: Resource) -> bool:
        """Whether a resource's content, for example of an old version, is within it."""
        return self.admits(build_index(self.definition, resource, self.base_url).ix)


class Restrictions:
    """Compiles what `policy.restriction` demands; one per process.

    Args:
        registry: the served types and their search parameters.
        settings: the limits of searches.
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._compile = lru_cache(maxsize=1024)(self._compile_uncached)

    def of(
        self, principal: Principal | None, resource_type: str, interaction: str, base_url: str
    ) -> Restriction | None:
        """The restriction on an interaction; None when the token allows it on everything.

        A constraint that is no legal search on the type grants nothing.

        Raises:
            Login: nobody is logged in.
            Forbidden: no scope of the token grants the interaction.
        """
        queries = restriction(principal, resource_type, interaction)
        if queries is None:
            return None
        return self._compile(resource_type, queries, base_url)

    def is_grantable(self, scope: Scope) -> bool:
        """Whether a scope means something here: a served type and a legal constraint.

        The constraint of a scope for every type must be legal for every type.
        """
        if scope.context != "system":
            return False
        types = self._registry.types
        if scope.type != EVERY_TYPE and scope.type not in types:
            return False
        if not scope.constraint:
            return True
        names = types if scope.type == EVERY_TYPE else (scope.type,)
        return all(
            parse_requirement(types[name], scope.constraint, "", self._settings) is not None
            for name in names
        )

    def _compile_uncached(
        self, resource_type: str, queries: Sequence[str], base_url: str
    ) -> Restriction:
        definition = self._registry.types[resource_type]
        requests = (
            parse_requirement(definition, parse_constraint(query), base_url, self._settings)
            for query in queries
        )
        alternatives = tuple(request for request in requests if request is not None)
        return Restriction(definition, base_url, alternatives)


def parse_requirement(
    definition: TypeDefinition, constraint: Constraint, base_url: str, settings: Settings
) -> SearchRequest | None:
    """A constraint as a search; None when it is not one whose meaning stays the same.

    Parameters that shape the result (`_count`, `_sort`, …) and approximate dates, whose meaning
    depends on when they are asked, are no constraints.
    """
    for name, value in constraint:
        parameter = definition.search_parameters.get(name)
        if parameter is None:
            return None
        if parameter.type == "date" and any(v.startswith("ap") for v in value.split(",")):
            return None
    try:
        return parse_search(
            definition, constraint, base_url=base_url, limits=settings, now=_ANY_TIME, lenient=False
        )
    except (FhirError, ValueError):
        return None

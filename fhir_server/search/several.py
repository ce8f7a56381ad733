"""Searches over several types, and within compartments.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/compartmentdefinition.html

Every type has a request of its own; a parameter must be one of every type that is searched.
Matches are ordered by `_lastUpdated`, or by `_id`, across all types.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.fhir.errors import Invalid, NotSupported
from fhir_server.search.condition import PREFIX, Condition, Ids, Terms, any_of
from fhir_server.search.criteria import Clause
from fhir_server.search.request import Limits, Pair, SearchRequest, parse_search
from fhir_server.search.sorting import Sort

TYPE: Final = "_type"
_ORDERED: Final = frozenset({"_id", f"{PREFIX}u"})


@dataclass(frozen=True, slots=True)
class SeveralRequest:
    """A search of several types.

    Attributes:
        requests: one for each type, in alphabetical order; they differ in nothing else.
        named: whether the client has named the types, so that it must be told when it may not
            search one of them.
        compartment: `Type/id` of the compartment they must be in; empty for none.
        pairs_used: the query as it was understood, for the self link.
    """

    requests: tuple[SearchRequest, ...]
    named: bool
    compartment: str
    pairs_used: tuple[Pair, ...]

    @property
    def first(self) -> SearchRequest:
        """Any of the requests, for what they have in common."""
        return self.requests[0]


def within(request: SearchRequest, definition: TypeDefinition, compartment: str) -> SearchRequest:
    """The same search of what belongs to a compartment, given as `Type/id`."""
    name, _, logical_id = compartment.partition("/")
    codes = definition.compartments[name]
    found: list[Condition] = [Ids((logical_id,))] if definition.name == name else []
    if codes:
        found.append(Terms(tuple(f"{code}={compartment}" for code in codes)))
    clause = Clause("_compartment", "reference", any_of(found))
    return replace(request, clauses=(*request.clauses, clause), compartment=compartment)


def parse_several(
    registry: Registry,
    pairs: Sequence[Pair],
    *,
    compartment: str = "",
    base_url: str,
    limits: Limits,
    now: datetime,
    lenient: bool = False,
) -> SeveralRequest:
    """Understand a query of all types, or of those that `_type` names.

    Args:
        registry: the served types.
        pairs: names and values, URL-decoded.
        compartment: `Type/id`; empty for the whole system.
        base_url: the FHIR base, without a trailing slash.
        limits: the settings that bound a search.
        now: when it is asked.
        lenient: whether parameters that are not known are left out with a warning.

    Raises:
        NotSupported: `_type` names what is not served or not in the compartment; a parameter is
            not known to every type, or the order is not one that all types have.
        FhirError: as `parse_search`.
    """
    given = [value for name, value in pairs if name == TYPE]
    types = _types(registry, given, compartment)
    rest = [pair for pair in pairs if pair[0] != TYPE]
    requests = []
    for name in types:
        definition = registry.types[name]
        request = parse_search(
            definition,
            rest,
            base_url=base_url,
            limits=limits,
            now=now,
            lenient=lenient,
            registry=registry,
            several=True,
        )
        if compartment:
            request = within(request, definition, compartment)
        requests.append(_in_common_order(request, rest))
    used = requests[0].pairs_used
    if any(one.pairs_used != used for one in requests):
        raise NotSupported(
            "a search of several types takes only parameters that all of them know; name the "
            f"types with {TYPE}"
        )
    named = ((TYPE, ",".join(types)),) if given else ()
    return SeveralRequest(tuple(requests), bool(given), compartment, (*named, *used))


def _types(registry: Registry, given: list[str], compartment: str) -> list[str]:
    name = compartment.partition("/")[0]
    possible = [
        one.name
        for one in registry.types.values()
        if "search-type" in one.interactions and (not name or name in one.compartments)
    ]
    if len(given) > 1:
        raise Invalid(f"{TYPE} may be given only once; separate types by commas")
    if not given:
        return sorted(possible)
    wanted = sorted(set(given[0].split(",")))
    for one in wanted:
        if one not in possible:
            where = f"in the compartment of {name}" if name else "here"
            raise NotSupported(f"{TYPE}: '{one[:64]}' is no type that can be searched {where}")
    return wanted


def _in_common_order(request: SearchRequest, pairs: Sequence[Pair]) -> SearchRequest:
    if not any(name == "_sort" for name, _ in pairs):
        return replace(request, sort=Sort(f"{PREFIX}u"))
    if request.sort.keys or request.sort.path not in _ORDERED:
        raise NotSupported("_sort: several types are sorted by _id or _lastUpdated only")
    return request

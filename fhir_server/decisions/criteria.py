"""The search of a conditional interaction, and what makes two of them exclude each other.

https://hl7.org/fhir/R4/http.html#ccreate, https://hl7.org/fhir/R4/http.html#cond-update
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import parse_qsl

from fhir_server.auth.restrictions import Restriction
from fhir_server.context import RequestContext
from fhir_server.definitions.registry import TypeDefinition
from fhir_server.fhir.errors import Invalid, MultipleMatches, NotSupported, Required
from fhir_server.fhir.exchange import Pairs, query_string
from fhir_server.fhir.types import Resource
from fhir_server.search.escapes import split, unescape
from fhir_server.search.index import build_index
from fhir_server.search.predicate import matches
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings

_SHAPING: Final = frozenset(
    {
        "_contained", "_containedType", "_count", "_elements", "_format", "_include", "_page",
        "_pretty", "_revinclude", "_score", "_sort", "_summary", "_total",
    }
)  # fmt: skip
_IDENTIFIERS: Final = frozenset({"identifier", "identifier:of-type"})


@dataclass(frozen=True, slots=True, eq=False)
class Criteria:
    """What a resource must be like to be the one meant, as far as the caller may see it.

    Attributes:
        definition: the type searched.
        request: the search.
        restriction: what the caller's token allows to find; None for everything.
        base_url: the FHIR base.
        text: the criteria as a query string, for messages.
        key: equal for criteria that find the same.
        locks: names that two interactions share when one could create what the other looks for.
        most: how many matches are looked for.
    """

    definition: TypeDefinition
    request: SearchRequest
    restriction: Restriction | None
    base_url: str
    text: str
    key: tuple[str, ...]
    locks: tuple[str, ...]
    most: int

    @property
    def type(self) -> str:
        """The resource type."""
        return self.definition.name

    def admits(self, resource: Resource) -> bool:
        """Whether a resource, with its id and meta, matches."""
        ix = build_index(self.definition, resource, self.base_url).ix
        restriction = self.restriction
        return matches(self.request, ix) and (restriction is None or restriction.admits(ix))

    def for_creating(self, content: Resource) -> Self:
        """These criteria, met by others who create what bears the same identifiers."""
        own = {f"{self.type}|identifier|{value}" for value in _identifiers_of(content)}
        locks = tuple(sorted({*self.locks, *own}))
        # Whoever relies on more locks must search anew, after these have been looked at.
        return replace(self, locks=locks, key=(*self.key, *locks))

    def several(self) -> MultipleMatches:
        """The refusal when more than one matches."""
        return MultipleMatches(
            f"Several {self.type} resources match {self.text[:200]}; "
            "give criteria that only one resource can meet"
        )


def parse_criteria(
    context: RequestContext,
    definition: TypeDefinition,
    pairs: Pairs,
    *,
    restriction: Restriction | None,
    settings: Settings,
    most: int = 2,
) -> Criteria:
    """Understand the criteria of a conditional interaction.

    Args:
        context: who asks.
        definition: the type searched.
        pairs: the search parameters.
        restriction: what the token allows to find.
        settings: the limits of a search.
        most: how many matches are looked for.

    Raises:
        Required: there are none, so everything would match.
        NotSupported: a parameter that selects nothing, is unknown or looks at other resources.
        FhirError: a value is not legal.
    """
    if not pairs:
        raise Required("A conditional interaction needs search criteria, such as identifier=…|…")
    shaping = sorted({name for name, _ in pairs if name.partition(":")[0] in _SHAPING})
    if shaping:
        raise NotSupported(f"{', '.join(shaping)} selects nothing; leave it out of the criteria")
    request = parse_search(
        definition,
        pairs,
        base_url=context.base_url,
        limits=settings,
        now=context.now,
        lenient=False,
    )
    text = query_string(sorted(pairs))
    scope = context.principal.scope if context.principal else ""
    return Criteria(
        definition,
        request,
        restriction,
        context.base_url,
        text,
        (definition.name, text, scope if restriction else "", str(most)),
        _locks(definition.name, pairs, text),
        most,
    )


def criteria_of_header(value: str | None) -> Pairs | None:
    """The search parameters of If-None-Exist; None when it is not given.

    Raises:
        Required: it is empty.
        Invalid: it is not UTF-8.
    """
    if value is None:
        return None
    query = value.removeprefix("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("If-None-Exist is not UTF-8") from None
    if not pairs:
        raise Required("If-None-Exist is empty; give search parameters, such as identifier=…|…")
    return pairs


def _locks(resource_type: str, pairs: Pairs, text: str) -> tuple[str, ...]:
    """The names under which equal criteria meet.

    Whoever searches by identifier meets all others who search by its value, whatever else they
    ask, and all who create a resource that bears it. Other criteria meet their like only.
    """
    values = {value for pair in pairs for value in _identifiers_asked(*pair)}
    names = {f"{resource_type}|identifier|{value}" for value in values}
    if not names:
        names.add(f"{resource_type}|{text}")
    return tuple(sorted(names))


def _identifiers_asked(name: str, value: str) -> Iterator[str]:
    if name not in _IDENTIFIERS:
        return
    for one in split(value, ","):
        last = unescape(split(one, "|")[-1])
        if last:
            yield last.casefold()


def _identifiers_of(content: Resource) -> Iterator[str]:
    found = content.get("identifier")
    listed: Sequence[object] = found if isinstance(found, list) else [found]
    for one in listed:
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            yield one["value"].casefold()

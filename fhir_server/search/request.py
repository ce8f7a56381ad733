"""The query of a search, understood and checked (https://hl7.org/fhir/R4/search.html)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.definitions.subset import Subset, parse_elements, parse_summary
from fhir_server.fhir.errors import FhirError, Invalid, Issues, NotSupported, Value
from fhir_server.search.criteria import Chain, Clause, UnknownParameter, parse_criterion
from fhir_server.search.include import INCLUDE, REVINCLUDE, Include, parse_include
from fhir_server.search.query import Query
from fhir_server.search.sorting import Sort, default_sort, parse_sort

Total = Literal["none", "estimate", "accurate"]
Pair = tuple[str, str]

RESULT_PARAMETERS: Final = (
    *("_count", "_elements", "_include", "_page", "_revinclude", "_sort", "_summary", "_total"),
)
"""Parameters that shape the answer and select nothing."""

# What R4 defines to shape the answer and this server does not offer. Left out, the matches stay
# the same, so a lenient client may go without.
_UNSUPPORTED_RESULT_PARAMETERS: Final = frozenset({"_contained", "_containedType", "_score"})
# Left out, these would answer another question than the one asked.
_UNSUPPORTED_QUERIES: Final = frozenset({"_filter", "_list", "_query", "_type"})


class Limits(Protocol):
    """The settings that bound a search."""

    @property
    def max_search_parameters(self) -> int:
        """Most parameters in one search."""
        ...

    @property
    def page_size(self) -> int:
        """Matches on a page when `_count` is absent."""
        ...

    @property
    def max_page_size(self) -> int:
        """Most matches on a page."""
        ...


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search of one type. All clauses and chains must hold.

    Attributes:
        type: the resource type.
        clauses: what is asked of the resources themselves.
        chains: what is asked of resources related to them; without a registry there are none.
        includes: what stands beside the matches; without a registry there is nothing.
        subset: the part of each resource that is shown; None for the whole.
        count: most matches on a page; 0 asks for the total only.
        total: how exactly the number of all matches is wanted.
        sort: the order of the matches.
        page_token: the signed position of a page (`search.paging`), unchecked; None for the first.
        pairs_used: the query as it was understood, for the self link; parsing it again gives the
            same request.
        warnings: for a lenient client, what was left out.
        compartment: `Type/id` of the compartment searched, which is among the clauses.
    """

    type: str
    clauses: tuple[Clause, ...]
    chains: tuple[Chain, ...]
    includes: tuple[Include, ...]
    subset: Subset | None
    count: int
    total: Total
    sort: Sort
    page_token: str | None
    pairs_used: tuple[Pair, ...]
    warnings: tuple[str, ...]
    compartment: str = ""


def parse_search(
    type_definition: TypeDefinition,
    pairs: Sequence[Pair],
    *,
    base_url: str,
    limits: Limits,
    now: datetime,
    lenient: bool = False,
    registry: Registry | None = None,
    several: bool = False,
) -> SearchRequest:
    """Understand a query.

    Args:
        type_definition: the type searched.
        pairs: names and values, URL-decoded, in the order of the URL.
        base_url: the FHIR base, without a trailing slash.
        limits: the settings that bound a search.
        now: when it is asked; the prefix `ap` of dates measures from it.
        lenient: whether parameters that are not known are left out with a warning.
        registry: the other types and the value sets; without it the search can be judged on one
            resource alone, and what cannot is refused.
        several: whether other types are searched by the same query.

    Raises:
        NotSupported: an unknown parameter, or a modifier, chain or prefix not offered.
        Value: a value that its parameter cannot have.
        Invalid: too many parameters, a repeated `_count`, an ambiguous reference.
        Issues: several of these.
    """
    if len(pairs) > limits.max_search_parameters:
        raise Invalid(
            f"{len(pairs)} search parameters are more than the {limits.max_search_parameters} "
            "allowed in one search"
        )
    reader = _Reader(
        Query(type_definition, base_url, now, registry, several), limits, lenient=lenient
    )
    for name, value in pairs:
        reader.read(name, value)
    return reader.request()


class _Reader:
    """Reads pair after pair and remembers every problem."""

    def __init__(self, query: Query, limits: Limits, *, lenient: bool) -> None:
        self._query = query
        self._limits = limits
        self._lenient = lenient
        self._clauses: list[Clause] = []
        self._chains: list[Chain] = []
        self._includes: list[Include] = []
        self._used: list[Pair] = []
        self._warnings: list[str] = []
        self._problems: list[FhirError] = []
        self._seen: set[str] = set()
        self._sort = default_sort(query.definition.name)
        self._count = limits.page_size
        self._total: Total = "none"
        self._page: str | None = None
        self._subset: Subset | None = None
        self._summarised = ""
        self._result: dict[str, Callable[[str], None]] = {
            "_count": self._read_count,
            "_elements": self._read_elements,
            "_page": self._read_page,
            "_sort": self._read_sort,
            "_summary": self._read_summary,
            "_total": self._read_total,
        }

    def read(self, name: str, value: str) -> None:
        """Take one parameter."""
        try:
            if name in self._result:
                self._read_result(name, value)
            elif name.partition(":")[0] in {INCLUDE, REVINCLUDE}:
                self._read_include(name, value)
            else:
                self._read_filter(name, value)
        except FhirError as problem:
            self._problems.append(problem)

    def request(self) -> SearchRequest:
        """The whole request.

        Raises:
            FhirError: what was wrong; all of it at once.
        """
        if self._includes and self._subset is not None and self._subset.summary == "text":
            self._problems.append(Invalid("_include and _summary=text exclude each other"))
        if {"_elements", "_summary"} <= self._seen and self._summarised:
            self._problems.append(Invalid("_elements and _summary exclude each other"))
        if len(self._problems) == 1:
            raise self._problems[0]
        if self._problems:
            raise Issues(self._problems)
        total = self._total
        count = 0 if self._summarised == "count" else self._count
        if count == 0 and total == "none":
            total = "accurate"
        return SearchRequest(
            type=self._query.definition.name,
            clauses=tuple(self._clauses),
            chains=tuple(self._chains),
            includes=tuple(self._includes),
            subset=self._subset,
            count=count,
            total=total,
            sort=self._sort,
            page_token=self._page,
            pairs_used=tuple(self._used),
            warnings=tuple(self._warnings),
        )

    def _read_filter(self, name: str, value: str) -> None:
        if name.partition(":")[0] in _UNSUPPORTED_QUERIES:
            raise NotSupported(f"the parameter '{name[:64]}' is not supported; {self._supported()}")
        try:
            criterion = parse_criterion(name, value, self._query)
        except UnknownParameter:
            self._unknown(name)
            return
        if isinstance(criterion, Chain):
            self._chains.append(criterion)
        else:
            self._clauses.append(criterion)
        self._used.append((name, value))

    def _unknown(self, name: str) -> None:
        code = name.partition(":")[0]
        if not self._lenient:
            raise NotSupported(f"{_described(code, name)}; {self._supported()}")
        self._warnings.append(f"{_described(code, name)} and was left out")

    def _supported(self) -> str:
        names = (*self._query.definition.search_parameters, *RESULT_PARAMETERS)
        return f"supported for {self._query.definition.name}: {', '.join(sorted(names))}"

    def _read_result(self, name: str, value: str) -> None:
        if name in self._seen:
            raise Invalid(f"{name} may be given only once")
        self._seen.add(name)
        self._result[name](value)

    def _read_include(self, name: str, value: str) -> None:
        try:
            include = parse_include(name, value, self._query)
        except NotSupported as problem:
            # Without it the matches stay the same.
            if not self._lenient:
                raise
            self._warnings.append(f"{problem.diagnostics}; it was left out")
            return
        if include not in self._includes:
            self._includes.append(include)
        self._used.append((name, value))

    def _read_count(self, value: str) -> None:
        if not (value.isascii() and value.isdigit()):
            raise Value(f"_count: '{value[:32]}' is not a whole number of 0 or more")
        digits = value.lstrip("0")
        # A number of many digits is larger than any limit, and costly to convert.
        wanted = int(digits or "0") if len(digits) < 18 else self._limits.max_page_size
        self._count = min(wanted, self._limits.max_page_size)
        self._used.append(("_count", str(self._count)))

    def _read_total(self, value: str) -> None:
        match value:
            case "none" | "estimate" | "accurate":
                self._total = value
            case _:
                raise Value(
                    f"_total: '{value[:32]}' is not supported; expected none, estimate or accurate"
                )
        self._used.append(("_total", value))

    def _read_sort(self, value: str) -> None:
        self._sort = parse_sort(value, self._query)
        self._used.append(("_sort", value))

    def _read_summary(self, value: str) -> None:
        kind = parse_summary(value)
        if kind != "false":
            self._summarised = kind
        if kind in {"true", "text", "data"}:
            self._subset = Subset(kind)
        self._used.append(("_summary", value))

    def _read_elements(self, value: str) -> None:
        registry = self._query.registry
        if registry is None:
            raise NotSupported("_elements is not supported here: it selects nothing")
        searched = "" if self._query.several else self._query.definition.name
        self._subset = parse_elements(value, registry.structures, searched)
        self._used.append(("_elements", value))

    def _read_page(self, value: str) -> None:
        if not value:
            raise Invalid("_page is empty; use the links of a search answer as they are")
        self._page = value
        self._used.append(("_page", value))


def _described(code: str, name: str) -> str:
    if code in _UNSUPPORTED_RESULT_PARAMETERS:
        return f"the parameter '{name[:64]}' is not supported"
    return f"the search parameter '{name[:64]}' is not known"

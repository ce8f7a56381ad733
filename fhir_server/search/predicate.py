"""A search request judged: by MongoDB on stored documents, or in memory on an index document.

Both answer alike. Subscriptions and scopes with constraints rely on it.
"""

from collections.abc import Iterable
from typing import Final

from fhir_server.fhir.types import Json
from fhir_server.search.condition import Filter, Ids, Spans, TermPrefix, Terms
from fhir_server.search.criteria import Clause
from fhir_server.search.modified import Not
from fhir_server.search.request import SearchRequest

# MongoDB bounds an index on many terms by one of them, and the first one it is given. The kinds
# of parameter are in the order of how few resources one value usually selects.
_SELECTIVITY: Final = {"reference": 1, "uri": 2, "string": 3, "composite": 4, "token": 5}
_FEW_VALUES: Final = frozenset(
    {"active", "actual", "deceased", "exclude", "gender", "intent", "part-status", "priority"}
    | {"status", "type", "address-use", "action", "outcome"}
)


def mongo_filter(request: SearchRequest) -> Filter:
    """The request's clauses as one MongoDB filter on documents that hold `ix` and `_id`.

    It says nothing about chains, order, position, deletion or access.
    """
    return clauses_filter(request.clauses)


def clauses_filter(clauses: Iterable[Clause]) -> Filter:
    """Clauses that must all hold as one MongoDB filter.

    Conditions on a single-valued date become one range, so that both its ends bound an index.
    """
    spans: dict[str, Spans] = {}
    parts: list[Filter] = []
    for clause in sorted(clauses, key=_rank):
        condition = clause.condition
        if isinstance(condition, Spans):
            known = spans.get(condition.field)
            spans[condition.field] = condition if known is None else known.within(condition)
        else:
            parts.append(condition.mongo())
    parts.extend(one.mongo() for one in spans.values())
    return _together(parts)


def is_selective(clauses: Iterable[Clause]) -> bool:
    """Whether any clause can be answered from an index; a negation cannot."""
    return any(not isinstance(clause.condition, Not) for clause in clauses)


def matches(request: SearchRequest, ix: Json) -> bool:
    """Whether a resource with this index document fulfils every clause; chains are not judged."""
    return all(clause.condition.matches(ix) for clause in request.clauses)


def _rank(clause: Clause) -> int:
    condition = clause.condition
    if isinstance(condition, Ids):
        return 0
    if not isinstance(condition, Terms | TermPrefix):
        return 9 if isinstance(condition, Not) else 8
    if clause.code in _FEW_VALUES:
        return 7
    return _SELECTIVITY.get(clause.type, 6)


def _together(parts: list[Filter]) -> Filter:
    merged: Filter = {}
    rest: list[Filter] = []
    for part in parts:
        if merged.keys().isdisjoint(part):
            merged.update(part)
        else:
            rest.append(part)
    if rest:
        merged["$and"] = [*merged.get("$and", ()), *rest]
    return merged

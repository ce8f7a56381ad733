"""The order of matches (https://hl7.org/fhir/R4/search.html#sort).

An order by `_id`, `_lastUpdated` or the main date of a type comes out of an index. Any other is
made from keys that MongoDB takes out of the index documents of all matches: of several values
the first in that order; strings without case, accents and punctuation, their first characters
only. What has no value is the greatest. Ties are ordered by id, in the direction of the last key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.search_parameter import SearchParameter
from fhir_server.fhir.dates import LATEST
from fhir_server.fhir.errors import Invalid, NotSupported
from fhir_server.search.condition import PREFIX
from fhir_server.search.main_date import is_period, main_date
from fhir_server.search.query import Query
from fhir_server.search.values.string import PHONETIC

MOST_KEYS: Final = 5
LONGEST: Final = 64
"""Characters of a string by which matches are ordered."""
GREATEST: Final = "\U0010ffff"
"""Stands for a string that is not there; no resource can hold it."""

Expression = Any

_TERMS: Final = frozenset({"token", "reference", "uri"})
_NUMBERS: Final = frozenset({"number", "quantity"})
_SORTABLE: Final = _TERMS | _NUMBERS | {"string", "date"}
_ID: Final = "_id"


@dataclass(frozen=True, slots=True)
class SortKey:
    """One of several things that matches are ordered by, or one that no index orders by.

    Attributes:
        code: the search parameter.
        type: its type.
        path: the stored field, when there is one; otherwise the key is computed.
        descending: whether the greatest comes first.
    """

    code: str
    type: str
    path: str
    descending: bool

    def expression(self) -> Expression:
        """How MongoDB takes the key out of a stored document."""
        if self.path:
            return f"${self.path}"
        pick = "$max" if self.descending else "$min"
        if self.type == "date":
            return {"$ifNull": [{pick: f"${PREFIX}d.{self.code}.l"}, LATEST]}
        if self.type in _NUMBERS:
            return {"$ifNull": [{pick: f"${PREFIX}n.{self.code}.l"}, float("inf")]}
        return self._text({pick: self._terms()})

    def _terms(self) -> Expression:
        start = f"{self.code}="
        field = "x" if self.type == "string" else "t"
        wanted: list[Expression] = [
            {"$gte": ["$$this", start]},
            {"$lt": ["$$this", f"{self.code}>"]},
        ]
        if self.type in _TERMS:
            # Of a token, what stands beside it with its system is not its value.
            bare = f"^{re.escape(self.code)}=(?:[^|]|\\\\\\|)*$"
            wanted.append({"$regexMatch": {"input": "$$this", "regex": bare}})
        return {"$filter": {"input": f"${PREFIX}{field}", "cond": {"$and": wanted}}}

    def _text(self, first: Expression) -> Expression:
        normalised = {"$arrayElemAt": [{"$split": ["$$first", "\t"]}, 0]}
        text = {"$substrCP": [normalised, len(self.code) + 1, LONGEST]}
        absent = {"$eq": [{"$ifNull": ["$$first", None]}, None]}
        return {"$let": {"vars": {"first": first}, "in": {"$cond": [absent, GREATEST, text]}}}


@dataclass(frozen=True, slots=True)
class Sort:
    """How the matches of a search are ordered; ties by id, in the direction of the last key.

    Attributes:
        path: the stored field, when an index has the order: `_id`, `ix.s` or `ix.u`.
        descending: whether the greatest comes first.
        keys: what is computed for each match, when no index has the order; the other attributes
            then say nothing.
    """

    path: str
    descending: bool = False
    keys: tuple[SortKey, ...] = ()


def default_sort(resource_type: str) -> Sort:
    """The order of a search that does not ask for one: by the main date, or by id."""
    return Sort(_ID if main_date(resource_type) is None else f"{PREFIX}s")


def sortable(parameters: Mapping[str, SearchParameter]) -> list[str]:
    """The search parameters that can be sorted by."""
    return sorted(code for code, one in parameters.items() if _is_sortable(one))


def parse_sort(value: str, query: Query) -> Sort:
    """What `_sort` asks for: search parameters with commas between, `-` for the reverse.

    Raises:
        NotSupported: a parameter that there is not, or that has no order; too many.
        Invalid: a parameter is named twice.
    """
    parameters = query.definition.search_parameters
    keys: list[SortKey] = []
    for part in value.split(","):
        code = part.removeprefix("-")
        parameter = parameters.get(code)
        if parameter is None or not _is_sortable(parameter):
            raise NotSupported(
                f"_sort: '{part[:64]}' is not supported; supported for {query.definition.name}: "
                f"{', '.join(sortable(parameters))}, with - in front for the reverse"
            )
        if any(key.code == code for key in keys):
            raise Invalid(f"_sort: '{code}' is there twice")
        path = _path(code, query)
        keys.append(SortKey(code, parameter.type, path, part.startswith("-")))
    if len(keys) > MOST_KEYS:
        raise NotSupported(f"_sort: at most {MOST_KEYS} parameters can be sorted by")
    return _sort(keys)


def _sort(keys: list[SortKey]) -> Sort:
    first, *others = keys
    # Nothing ties after the id, so what follows it changes nothing.
    if first.code == _ID:
        others = []
    tie = not others or (others[0].code == _ID and others[0].descending == first.descending)
    if first.path and tie:
        return Sort(first.path, first.descending)
    return Sort(_ID, keys=tuple(keys))


def _is_sortable(parameter: SearchParameter) -> bool:
    return parameter.type in _SORTABLE and parameter.code != PHONETIC


def _path(code: str, query: Query) -> str:
    if code == _ID:
        return _ID
    if code == "_lastUpdated":
        return f"{PREFIX}u"
    name = query.definition.name
    main = main_date(name)
    if is_period(name, code):
        return f"{PREFIX}s"
    return f"{PREFIX}s" if main is not None and main.code == code else ""

"""What a search asks of an index document, for MongoDB and for memory alike.

Each condition is one statement about the index document `ix` (see `search.index`). It can be
written as a MongoDB filter, whose paths start with the prefix that the document is stored under,
and it can be judged on the document itself. Both must always agree.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Final, Protocol

from fhir_server.fhir.types import Json

Filter = dict[str, Any]
Index = Mapping[str, Json]

PREFIX: Final = "ix."
EARTH_RADIUS_METRES: Final = 6_378_100.0
"""Used by both sides of a distance, so that they agree."""

Bound = tuple[str, str, float]
"""A field of a stored range (`l` or `h`), a MongoDB comparison, and what it is compared to."""
Box = tuple[Bound, ...]
"""Bounds that must all hold."""

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": gt,
    "$gte": ge,
    "$lt": lt,
    "$lte": le,
}


class Condition(Protocol):
    """A statement about one index document."""

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """The same statement as a MongoDB filter on documents that hold `ix` under the prefix."""
        ...

    def matches(self, ix: Index) -> bool:
        """Whether the index document fulfils it."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """Has at least one of these index terms."""

    terms: tuple[str, ...]

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """Equality where possible: it keeps the order of the compound index."""
        if len(self.terms) == 1:
            return {f"{prefix}t": self.terms[0]}
        return {f"{prefix}t": {"$in": list(self.terms)}}

    def matches(self, ix: Index) -> bool:
        """Whether any of the terms is there."""
        found = ix.get("t", ())
        return any(term in found for term in self.terms)


@dataclass(frozen=True, slots=True)
class TermPrefix:
    """Has at least one index term that starts so."""

    start: str

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """A range; `$elemMatch` keeps both ends on the same term, so both bound the index."""
        return {f"{prefix}t": {"$elemMatch": {"$gte": self.start, "$lt": successor(self.start)}}}

    def matches(self, ix: Index) -> bool:
        """Whether any term starts so."""
        return any(term.startswith(self.start) for term in ix.get("t", ()))


@dataclass(frozen=True, slots=True)
class Ids:
    """Has one of these logical ids."""

    ids: tuple[str, ...]

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """On the document's key; an id is asked for at the top level only."""
        del prefix
        return {"_id": self.ids[0] if len(self.ids) == 1 else {"$in": list(self.ids)}}

    def matches(self, ix: Index) -> bool:
        """Whether the resource's id is among them."""
        return ix.get("i") in self.ids


@dataclass(frozen=True, slots=True)
class Spans:
    """A single number lies in at least one of these inclusive ranges.

    Attributes:
        field: `s`, the type's main date, or `u`, the last update; microseconds.
        spans: pairs of lowest and highest.
    """

    field: str
    spans: tuple[tuple[int, int], ...]

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """One range on a field that holds one value, so that both ends bound the index."""
        path = prefix + self.field
        filters: list[Filter] = [{path: {"$gte": low, "$lte": high}} for low, high in self.spans]
        return either(filters)

    def matches(self, ix: Index) -> bool:
        """Whether the number is there and lies in one of them."""
        value = ix.get(self.field)
        return value is not None and any(low <= value <= high for low, high in self.spans)

    def within(self, other: "Spans") -> "Spans":
        """What both allow, in order and never more spans than both have together."""
        mine, theirs = _disjoint(self.spans), _disjoint(other.spans)
        found: list[tuple[int, int]] = []
        while mine and theirs:
            low, high = max(mine[-1][0], theirs[-1][0]), min(mine[-1][1], theirs[-1][1])
            if low <= high:
                found.append((low, high))
            (mine if mine[-1][1] <= theirs[-1][1] else theirs).pop()
        return Spans(self.field, tuple(found))


@dataclass(frozen=True, slots=True)
class Ranges:
    """At least one stored range lies in at least one of these boxes.

    Attributes:
        field: `d` for dates, `n` for numbers and quantities.
        code: the search parameter.
        boxes: what is asked of a range's ends.
        units: of a quantity, unit terms of which it must have one; empty for any unit.
    """

    field: str
    code: str
    boxes: tuple[Box, ...]
    units: tuple[str, ...] = ()

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """An `$elemMatch` for each box: MongoDB cannot index a disjunction inside one."""
        path = f"{prefix}{self.field}.{self.code}"
        filters: list[Filter] = []
        for box in self.boxes:
            wanted: Filter = {}
            for end, comparison, value in box:
                wanted.setdefault(end, {})[comparison] = value
            if self.units:
                wanted["u"] = {"$in": list(self.units)}
            filters.append({path: {"$elemMatch": wanted}})
        return either(filters)

    def matches(self, ix: Index) -> bool:
        """Whether any stored range lies in any box."""
        stored = ix.get(self.field, {}).get(self.code, ())
        return any(self._holds(one, box) for one in stored for box in self.boxes)

    def _holds(self, one: Mapping[str, Json], box: Box) -> bool:
        if self.units and not any(unit in one.get("u", ()) for unit in self.units):
            return False
        return all(_COMPARE[comparison](one[end], value) for end, comparison, value in box)


@dataclass(frozen=True, slots=True)
class Near:
    """Lies within a distance of a place.

    Attributes:
        longitude: degrees.
        latitude: degrees.
        metres: the greatest distance, along the sphere.
    """

    longitude: float
    latitude: float
    metres: float

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """The cap of the sphere around the place; at most half way round."""
        angle = min(self.metres / EARTH_RADIUS_METRES, math.pi)
        cap = [[self.longitude, self.latitude], angle]
        return {f"{prefix}g": {"$geoWithin": {"$centerSphere": cap}}}

    def matches(self, ix: Index) -> bool:
        """The great-circle distance by the haversine formula."""
        place = ix.get("g")
        if place is None:
            return False
        here, there = math.radians(self.latitude), math.radians(place[1])
        across = math.radians(place[0] - self.longitude)
        chord = (
            math.sin((there - here) / 2) ** 2
            + math.cos(here) * math.cos(there) * math.sin(across / 2) ** 2
        )
        angle = 2 * math.asin(min(1.0, math.sqrt(chord)))
        return angle <= self.metres / EARTH_RADIUS_METRES


@dataclass(frozen=True, slots=True)
class Composite:
    """At least one stored group of values fulfils all component conditions.

    Attributes:
        code: the composite search parameter.
        components: one condition per component, on the group's own small index document.
    """

    code: str
    components: tuple[Condition, ...]

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """All of them inside one `$elemMatch`, so that they hold for the same group."""
        wanted = {"$and": [component.mongo("") for component in self.components]}
        return {f"{prefix}c.{self.code}": {"$elemMatch": wanted}}

    def matches(self, ix: Index) -> bool:
        """Whether one group fulfils all of them."""
        groups = ix.get("c", {}).get(self.code, ())
        return any(all(one.matches(group) for one in self.components) for group in groups)


@dataclass(frozen=True, slots=True)
class Every:
    """Fulfils all of these."""

    conditions: tuple[Condition, ...]

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """A conjunction."""
        return {"$and": [condition.mongo(prefix) for condition in self.conditions]}

    def matches(self, ix: Index) -> bool:
        """Whether all hold."""
        return all(condition.matches(ix) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Either:
    """Fulfils at least one of these."""

    conditions: tuple[Condition, ...]

    def mongo(self, prefix: str = PREFIX) -> Filter:
        """A disjunction."""
        return either([condition.mongo(prefix) for condition in self.conditions])

    def matches(self, ix: Index) -> bool:
        """Whether any holds."""
        return any(condition.matches(ix) for condition in self.conditions)


def _disjoint(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in spans that do not overlap, the first one last."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        elif low <= high:
            found.append((low, high))
    return found[::-1]


def any_of(conditions: list[Condition]) -> Condition:
    """One condition for the comma-separated values of a parameter.

    Values that MongoDB can answer with one list or one range become one.
    """
    first = conditions[0]
    if len(conditions) == 1:
        return first
    terms = [one for one in conditions if isinstance(one, Terms)]
    if len(terms) == len(conditions):
        return Terms(tuple(dict.fromkeys(term for one in terms for term in one.terms)))
    ids = [one for one in conditions if isinstance(one, Ids)]
    if len(ids) == len(conditions):
        return Ids(tuple(dict.fromkeys(name for one in ids for name in one.ids)))
    spans = [one for one in conditions if isinstance(one, Spans)]
    if len(spans) == len(conditions):
        return Spans(spans[0].field, tuple(pair for one in spans for pair in one.spans))
    return Either(tuple(conditions))


def either(filters: list[Filter]) -> Filter:
    """A MongoDB disjunction, without one when there is nothing to choose."""
    if not filters:
        return {"_id": {"$in": []}}
    return filters[0] if len(filters) == 1 else {"$or": filters}


def successor(start: str) -> str:
    """The smallest string greater than every string that starts so, in code point order.

    It steps over the surrogates, which no stored string can hold.
    """
    stem, last = start[:-1], ord(start[-1])
    if last == 0x10FFFF:
        return successor(stem)
    return stem + ("\ue000" if last == 0xD7FF else chr(last + 1))

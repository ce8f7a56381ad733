"""`_include` and `_revinclude`: one query for each type and step, within what the token may see."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fhir_server.auth.restrictions import Restriction
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import Forbidden
from fhir_server.fhir.ids import is_id
from fhir_server.search.include import ANY, Include, references_of
from fhir_server.store.find import Database, Document, find
from fhir_server.store.joins import LIVE, Filter, Restrict
from fhir_server.store.stored import SERVED, StoredVersion, from_current

MOST_STEPS = 8
"""How far `:iterate` leads from the matches."""

Key = tuple[str, str]


class Linked(NamedTuple):
    """A resource with the index terms that hold its references."""

    version: StoredVersion
    terms: Sequence[str]

    @property
    def key(self) -> Key:
        """Its type and id."""
        return self.version.type, self.version.id


class Included(NamedTuple):
    """What stands beside the matches of a page.

    Attributes:
        versions: in the order in which they were reached, then by type and id.
        complete: whether nothing was left out for the limit.
    """

    versions: tuple[StoredVersion, ...]
    complete: bool


NOTHING = Included((), complete=True)


@dataclass(slots=True)
class _Wanted:
    """What a step looks for in one type: ids, or any of these terms."""

    ids: set[str] = field(default_factory=set)
    terms: set[str] = field(default_factory=set)

    def filter(self, known: Iterable[str]) -> Filter | None:
        ids = sorted(self.ids.difference(known))
        either: list[Filter] = [{"_id": {"$in": ids}}] if ids else []
        if self.terms:
            either.append({"ix.t": {"$in": sorted(self.terms)}})
        if not either:
            return None
        found = either[0] if len(either) == 1 else {"$or": either}
        seen = sorted(known)
        return {"$and": [found, {"_id": {"$nin": seen}}]} if self.terms and seen else found


@dataclass(frozen=True, slots=True)
class Includes:
    """Finds what is to stand beside the matches.

    Attributes:
        database: the tenant's.
        registry: the served types.
        restrict: what the token may search of a type.
        most: how many resources may be included on a page.
        milliseconds: how long the database may work on one query.
    """

    database: Database
    registry: Registry
    restrict: Restrict
    most: int
    milliseconds: int

    def allowed(self, includes: Iterable[Include]) -> Mapping[str, Restriction | None]:
        """The types that may be included, and what of each.

        Raises:
            Forbidden: an include that names its types has none that the token may search.
        """
        found: dict[str, Restriction | None] = {}
        refused: dict[str, Forbidden] = {}
        for include in includes:
            types = [one for one in self._types(include) if one in self.registry.types]
            for name in types:
                if name not in found and name not in refused:
                    try:
                        found[name] = self.restrict(name)
                    except Forbidden as problem:
                        refused[name] = problem
            if types and include.code != ANY and not any(name in found for name in types):
                raise refused[types[0]]
        return found

    async def beside(
        self,
        matches: Sequence[Linked],
        includes: Sequence[Include],
        allowed: Mapping[str, Restriction | None],
    ) -> Included:
        """The resources that the includes lead to from these matches; no match is among them.

        Raises:
            Transient: the database cannot be reached or needed too long.
        """
        known: dict[str, set[str]] = {}
        for resource_type, logical_id in (one.key for one in matches):
            known.setdefault(resource_type, set()).add(logical_id)
        found: list[StoredVersion] = []
        reached, present = list(matches), includes
        for _ in range(MOST_STEPS):
            room = self.most - len(found)
            reached = await self._step(reached, present, allowed, known, room)
            for one in reached:
                known.setdefault(one.version.type, set()).add(one.version.id)
            found += [one.version for one in reached]
            if len(found) > self.most:
                return Included(tuple(found[: self.most]), complete=False)
            present = [include for include in includes if include.iterate]
            if not reached or not present:
                break
        return Included(tuple(found), complete=True)

    async def _step(
        self,
        reached: Sequence[Linked],
        includes: Sequence[Include],
        allowed: Mapping[str, Restriction | None],
        known: Mapping[str, set[str]],
        room: int,
    ) -> list[Linked]:
        wanted = self._wanted(reached, includes)
        finds = [
            self._find(name, condition, allowed[name], room + 1)
            for name in sorted(wanted)
            if name in allowed
            and (condition := wanted[name].filter(known.get(name, ()))) is not None
        ]
        return [one for found in await asyncio.gather(*finds) for one in found]

    def _wanted(self, reached: Sequence[Linked], includes: Sequence[Include]) -> dict[str, _Wanted]:
        wanted: dict[str, _Wanted] = {}
        for include in includes:
            if include.reverse:
                self._want_referring(include, reached, wanted)
            else:
                self._want_referred(include, reached, wanted)
        return wanted

    def _want_referred(
        self, include: Include, reached: Sequence[Linked], wanted: dict[str, _Wanted]
    ) -> None:
        codes: dict[str, set[str]] = {}
        for one in reached:
            name = one.version.type
            if include.source not in {ANY, name}:
                continue
            if name not in codes:
                codes[name] = set(self._codes(name, include.code))
            for term in one.terms:
                code, _, target = term.partition("=")
                if code not in codes[name]:
                    continue
                target_type, _, logical_id = target.partition("/")
                if include.target in {ANY, target_type} and is_id(logical_id):
                    wanted.setdefault(target_type, _Wanted()).ids.add(logical_id)

    def _want_referring(
        self, include: Include, reached: Sequence[Linked], wanted: dict[str, _Wanted]
    ) -> None:
        for source in [include.source] if include.source != ANY else self.registry.types:
            terms = {
                f"{code}={one.version.type}/{one.version.id}"
                for one in reached
                if include.target in {ANY, one.version.type}
                for code in self._codes(source, include.code, one.version.type)
            }
            if terms:
                wanted.setdefault(source, _Wanted()).terms |= terms

    def _codes(self, resource_type: str, code: str, target: str = ANY) -> Iterable[str]:
        return (
            one.code
            for one in references_of(self.registry.types[resource_type])
            if code in {ANY, one.code} and (target == ANY or target in one.targets)
        )

    def _types(self, include: Include) -> Iterable[str]:
        if include.reverse:
            return [include.source] if include.source != ANY else self.registry.types
        if include.target != ANY:
            return [include.target]
        if include.source == ANY:
            return self.registry.types
        definition = self.registry.types[include.source]
        return dict.fromkeys(
            target
            for one in references_of(definition)
            if include.code in {ANY, one.code}
            for target in one.targets
        )

    async def _find(
        self, resource_type: str, condition: Filter, restriction: Restriction | None, limit: int
    ) -> list[Linked]:
        wanted = [condition, LIVE]
        if restriction is not None:
            wanted.append(restriction.mongo_filter())
        documents = await find(
            self.database,
            resource_type,
            {"$and": wanted},
            limit=limit,
            projection={**SERVED, "ix.t": 1},
            sort={"_id": 1},
            milliseconds=self.milliseconds,
        )
        return [linked(resource_type, one) for one in documents]


def linked(resource_type: str, document: Document) -> Linked:
    """A stored document, read with `SERVED` and `ix.t`."""
    return Linked(from_current(resource_type, document), document["ix"]["t"])

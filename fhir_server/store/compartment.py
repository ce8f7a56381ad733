"""Everything in the compartment of one patient, or of all, page by page.

https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from fhir_server.auth.restrictions import Restriction
from fhir_server.context import RequestContext
from fhir_server.fhir import dates
from fhir_server.fhir.errors import Forbidden
from fhir_server.search.condition import TermPrefix, Terms
from fhir_server.search.include import ANY, Include
from fhir_server.search.predicate import clauses_filter
from fhir_server.search.request import parse_search
from fhir_server.settings import Settings
from fhir_server.store.find import find
from fhir_server.store.includes import NOTHING, Included, Includes, Linked, linked
from fhir_server.store.joins import LIVE, Restrict
from fhir_server.store.store import Store
from fhir_server.store.stored import SERVED

PATIENT: Final = "Patient"

DIRECTORY: Final = (
    "Device", "HealthcareService", "Location", "Organization", "Practitioner",
    "PractitionerRole", "Schedule", "Slot",
)  # fmt: skip
"""Types that belong to nobody and are told beside what refers to them."""

CARE_DATES: Final[Mapping[str, str]] = {
    "Appointment": "date",
    "AuditEvent": "date",
    "Communication": "sent",
    "CommunicationRequest": "occurrence",
    "CoverageEligibilityRequest": "created",
    "CoverageEligibilityResponse": "created",
    "Encounter": "date",
    "Flag": "date",
    "MeasureReport": "period",
    "Provenance": "recorded",
    "QuestionnaireResponse": "authored",
    "ServiceRequest": "occurrence",
}
"""The search parameter for the time that a resource is about; those without have none."""

Filter = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        patient: the id; empty for all patients.
        types: only these; empty for all.
        start: an R4 date; empty for none.
        end: as `start`.
        since: an instant; empty for none.
        count: most resources on a page, those beside them not counted.
    """

    patient: str
    types: frozenset[str]
    start: str
    end: str
    since: str
    count: int


class Place(NamedTuple):
    """A resource in the order of the pages."""

    type: str
    id: str


class Page(NamedTuple):
    """A part of everything.

    Attributes:
        matches: patients first, then type by type, each in the order of ids.
        included: directory resources that the matches refer to.
        next: the last of these matches; None when nothing follows.
    """

    matches: Sequence[Linked]
    included: Included
    next: Place | None


class Compartments:
    """Reads compartments as far as the token allows it.

    Args:
        store: holds them.
        settings: bound the queries.
        context: who asks.
    """

    def __init__(self, store: Store, settings: Settings, context: RequestContext) -> None:
        self._store = store
        self._settings = settings
        self._context = context
        self._milliseconds = max(1, round(settings.search_seconds * 1_000))

    async def page(self, wanted: Wanted, after: Place | None) -> Page:
        """The resources after a place.

        Raises:
            Forbidden: the token may not search a type that is asked for by name.
            Transient: the database cannot be reached or needed too long.
        """
        restrict = (await self._store.searches(self._context)).restrict
        allowed = self._allowed(wanted, restrict)
        matches: list[Linked] = []
        for name in self._types(wanted, after):
            if name not in allowed:
                continue
            room = wanted.count + 1 - len(matches)
            last = after.id if after is not None and after.type == name else ""
            matches += await self._find(name, wanted, allowed[name], last, room)
            if len(matches) > wanted.count:
                break
        shown = matches[: wanted.count]
        more = len(matches) > wanted.count
        included = await self._included(shown, allowed)
        return Page(shown, included, Place(*shown[-1].key) if more else None)

    def _types(self, wanted: Wanted, after: Place | None) -> list[str]:
        types = self._store.registry.types
        members = [name for name, one in types.items() if one.compartments.get(PATIENT)]
        ordered = [PATIENT, *sorted(name for name in members if name != PATIENT)]
        if wanted.types:
            ordered = [name for name in ordered if name in wanted.types]
        if after is not None and after.type in ordered:
            ordered = ordered[ordered.index(after.type) :]
        return ordered

    def _allowed(self, wanted: Wanted, restrict: Restrict) -> dict[str, Restriction | None]:
        """What the token may search; types that it may not are left out unless named."""
        found: dict[str, Restriction | None] = {}
        for name in wanted.types or self._store.registry.types:
            try:
                found[name] = restrict(name)
            except Forbidden:
                if wanted.types:
                    raise
        return found

    async def _find(
        self,
        resource_type: str,
        wanted: Wanted,
        restriction: Restriction | None,
        after: str,
        limit: int,
    ) -> list[Linked]:
        parts = [*self._filters(resource_type, wanted), LIVE]
        if restriction is not None:
            parts.append(restriction.mongo_filter())
        if after:
            parts.append({"_id": {"$gt": after}})
        documents = await find(
            self._store.database(self._context.tenant),
            resource_type,
            {"$and": parts},
            limit=limit,
            projection={**SERVED, "ix.t": 1},
            sort={"_id": 1},
            milliseconds=self._milliseconds,
        )
        return [linked(resource_type, one) for one in documents]

    def _filters(self, resource_type: str, wanted: Wanted) -> list[Filter]:
        parts = [self._member(resource_type, wanted.patient)]
        if wanted.since:
            parts.append(self._search(resource_type, [("_lastUpdated", f"gt{wanted.since}")]))
        care = CARE_DATES.get(resource_type, "")
        definition = self._store.registry.types[resource_type]
        bounds = [(care, bound) for bound in _bounds(wanted.start, wanted.end)]
        if bounds and care in definition.search_parameters:
            undated = self._search(resource_type, [(f"{care}:missing", "true")])
            parts.append({"$or": [self._search(resource_type, bounds), undated]})
        return parts

    def _member(self, resource_type: str, patient: str) -> Filter:
        if resource_type == PATIENT:
            # Linked patients have compartments of their own.
            return {"_id": patient} if patient else {}
        codes = self._store.registry.types[resource_type].compartments[PATIENT]
        if patient:
            return Terms(tuple(f"{code}={PATIENT}/{patient}" for code in codes)).mongo()
        return {"$or": [TermPrefix(f"{code}={PATIENT}/").mongo() for code in codes]}

    def _search(self, resource_type: str, pairs: Sequence[tuple[str, str]]) -> Filter:
        request = parse_search(
            self._store.registry.types[resource_type],
            pairs,
            base_url=self._context.base_url,
            limits=self._settings,
            now=self._context.now,
        )
        return clauses_filter(request.clauses)

    async def _included(
        self, matches: Sequence[Linked], allowed: Mapping[str, Restriction | None]
    ) -> Included:
        store = self._store
        includes = [
            Include(reverse=False, iterate=False, source=ANY, code=ANY, target=name)
            for name in DIRECTORY
            if name in allowed
        ]
        if not matches or not includes:
            return NOTHING
        searches = await store.searches(self._context)
        beside = Includes(
            store.database(self._context.tenant),
            store.registry,
            searches.restrict,
            self._settings.max_included,
            self._milliseconds,
        )
        return await beside.beside(matches, includes, allowed)


def _bounds(start: str, end: str) -> Iterator[str]:
    """What holds of a time that overlaps these days.

    Some of it lies after the day before the first, and some before the day after the last.
    """
    with suppress(OverflowError):  # nothing lies outside R4's years
        if start:
            yield f"gt{_day(dates.parse(start).low, -1)}"
    with suppress(OverflowError):
        if end:
            yield f"lt{_day(dates.parse(end).high, 1)}"


def _day(microseconds: int, days: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds, days=days)).date().isoformat()

"""The Slots of a find, in pages in order of their start, until enough are free."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fhir_server.fhir.dates import microseconds
from fhir_server.fhir.errors import TooCostly
from fhir_server.operations.find.directory import IN_USE, Directory, ids_of, naming
from fhir_server.operations.find.wish import Wish
from fhir_server.scheduling.find import (
    OFFERED_STATUSES,
    Agenda,
    FreeSlot,
    Selection,
    Tier,
    Tiers,
    free_slots,
    rank_in,
    type_of,
)
from fhir_server.scheduling.find_reasons import Reason, judge
from fhir_server.scheduling.occupancy import target
from fhir_server.search.condition import Condition, Either, Every, Ids, Spans
from fhir_server.search.criteria import Clause
from fhir_server.search.modified import AnyTerm, Not
from fhir_server.search.request import SearchRequest
from fhir_server.search.sorting import Sort
from fhir_server.store.agenda import unoccupied

Agendas = Mapping[str, Agenda]

_FEWEST: Final = 64
_MOST: Final = 1_000
_EXPLAINED: Final = 2_000


@dataclass
class SlotSearch:
    """Finds the Slots of some Schedules.

    Attributes:
        directory: searches for the caller.
        wish: what is asked.
        agendas: the Schedules, at least one.
        codes: what is asked of services, by search parameter of Slot.
        outside: ids of Slots seen that the limits of the day exclude.
        seen: ids of Slots seen that are for the service asked for.
    """

    directory: Directory
    wish: Wish
    agendas: Agendas
    codes: Mapping[str, Condition]
    outside: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    async def offers(self) -> list[FreeSlot]:
        """The earliest Slots that can be booked at this moment.

        Raises:
            Forbidden: the token may not search Slots.
            TooCostly: too many had to be looked at.
        """
        wish = self.wish
        actors = frozenset(one.actor for one in self.agendas.values())
        selection = Selection(wish.count, wish.per_actor, actors)
        async for page in self._pages():
            fitting = [one for one in page if self._fits(one)]
            for one in await unoccupied(self.directory.searches.database, fitting, self._now):
                selection.offer(one)
            if selection.is_complete:
                break
        return selection.chosen()

    async def reasons(self) -> list[Reason]:
        """Why there are no offers, after `offers` has found none."""
        window = self.wish.window
        asked = self._request([("status:not", "entered-in-error")], window.start, {})
        page = await self.directory.searches.page(replace(asked, count=_EXPLAINED))
        slots = free_slots(
            (one.resource for one in page.matches), self.agendas, self.directory.ctx.base_url
        )
        return judge(slots, window, self._now, fitting=self.seen, outside=self.outside)

    @property
    def _now(self) -> int:
        return microseconds(self.directory.ctx.now)

    def _fits(self, one: FreeSlot) -> bool:
        self.seen.add(one.slot["id"])
        if one.time.end > self.wish.window.end:
            return False
        limits = self.wish.limits
        if limits and not limits.admit(one.time.start, one.time.end, one.agenda.zone):
            self.outside.add(one.slot["id"])
            return False
        return True

    async def _pages(self) -> AsyncIterator[list[FreeSlot]]:
        start = max(self.wish.window.start, self._now)
        pairs = [("status", ",".join(OFFERED_STATUSES))]
        count = min(_MOST, max(_FEWEST, 2 * self.wish.count))
        asked = replace(self._request(pairs, start, self.codes), count=count)
        most = self.directory.searches.settings.find_max_slots
        looked_at = 0
        while True:
            page = await self.directory.searches.page(asked)
            slots = (one.resource for one in page.matches)
            yield free_slots(slots, self.agendas, self.directory.ctx.base_url)
            looked_at += len(page.matches)
            if page.next is None:
                return
            if looked_at >= most:
                raise TooCostly(
                    f"More than {most} Slots would have to be looked at; ask for a shorter time, "
                    "for fewer actors or for less"
                )
            # What comes next is likely to be needed in full.
            asked = replace(asked, page_token=page.next, count=_MOST)

    def _request(
        self, pairs: list[tuple[str, str]], start: int, codes: Mapping[str, Condition]
    ) -> SearchRequest:
        asked = self.directory.request("Slot", pairs)
        begins = Spans("s", ((start, max(start, self.wish.window.end - 1)),))
        clauses = (
            Clause("schedule", "reference", naming("schedule", self.agendas)),
            *asked.clauses,
            Clause("start", "date", begins),
            *(Clause(code, "token", one) for code, one in codes.items()),
        )
        return replace(asked, clauses=clauses, sort=Sort("ix.s"))


async def service_conditions(
    directory: Directory, wish: Wish, agendas: Agendas
) -> dict[str, Condition]:
    """What the criteria on services ask of a Slot.

    What a Slot says of itself counts; what it does not say, its Schedule says for it, and else
    the services and roles that the Schedule names. A type of visit is the Slot's type of
    appointment, and where it has none, its type of service.

    Raises:
        Forbidden: the token may not search a type that has to be asked.
        FhirError: a value is not legal.
    """
    found: dict[str, Condition] = {}
    services = _Services(directory, agendas)
    for name in ("specialty", "service-type"):
        if name in wish.values:
            found[name] = await services.condition(name, wish.values[name])
    visit = wish.values.get("visit-type")
    if visit:
        by_type = _own(directory, "appointment-type", visit)
        otherwise = await services.condition("service-type", visit)
        found["appointment-type"] = Either(
            (by_type, Every((Not(AnyTerm("appointment-type")), otherwise)))
        )
    return found


class _Services:
    """Which of the Schedules are for a specialty or type of service."""

    def __init__(self, directory: Directory, agendas: Agendas) -> None:
        self._directory = directory
        self._agendas = agendas
        self._actors = sorted({name for one in agendas.values() for name in one.actors})

    async def condition(self, code: str, value: str) -> Condition:
        """What is asked of a Slot."""
        own = _own(self._directory, code, value)
        schedules = await self._schedules(code, value)
        if not schedules:
            return own
        silent: Condition = Not(AnyTerm(code))
        if len(schedules) < len(self._agendas):
            silent = Every((silent, naming("schedule", schedules)))
        return Either((own, silent))

    async def _schedules(self, code: str, value: str) -> list[str]:
        field_name = "serviceType" if code == "service-type" else "specialty"
        silent = [one for one in self._agendas.values() if not one.schedule.get(field_name)]
        stated = [name for name, one in self._agendas.items() if one not in silent]
        found = []
        if stated:
            ids = Ids(ids_of(stated, "Schedule"))
            found = await self._directory.ids("Schedule", [(code, value)], {"_id": ids})
        if silent:
            tiers = await self._tiers(code, value)
            found += [one.reference for one in silent if rank_in(tiers, one.actors) is not None]
        return found

    async def _tiers(self, code: str, value: str) -> Tiers:
        found = await self._named("HealthcareService", code, value)
        types = {"HealthcareService"}
        people: dict[str, int] = {}
        if code == "specialty":
            types.add("PractitionerRole")
            found += await self._named("PractitionerRole", code, value)
            people = await self._people(value)
        return (
            Tier(frozenset(types), dict.fromkeys(found, 0)),
            Tier(frozenset({"Practitioner"}), people),
        )

    async def _named(self, resource_type: str, code: str, value: str) -> list[str]:
        ids = ids_of(self._actors, resource_type)
        if not ids:
            return []
        return await self._directory.ids(resource_type, [(code, value)], {"_id": Ids(ids)})

    async def _people(self, value: str) -> dict[str, int]:
        names = [one for one in self._actors if type_of(one) == "Practitioner"]
        if not names:
            return {}
        roles = await self._directory.find(
            "PractitionerRole",
            [("specialty", value), IN_USE],
            {"practitioner": naming("practitioner", names)},
        )
        found: Iterable[str | None] = (
            target(one.get("practitioner"), self._directory.ctx.base_url) for one in roles
        )
        return {name: 0 for name in found if name is not None}


def _own(directory: Directory, code: str, value: str) -> Condition:
    return directory.request("Slot", [(code, value)]).clauses[0].condition

"""`Appointment/$find`: which Schedules are meant, which free Slots are offered, and the offers.

Pure: Schedules and Slots that the store has found come in, Appointments to book go out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fhir_server.fhir.dates import format_instant, moment_of
from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling.cells import cell_ids, too_long
from fhir_server.scheduling.occupancy import SlotTime, slot_time, target
from fhir_server.scheduling.plan import Cell

_MINUTE: Final = 60_000_000
_FROM_SCHEDULE: Final = ("serviceCategory", "serviceType", "specialty")
# A practitioner is who one has an appointment with; a room or device alone comes after.
_WHO: Final = ("Practitioner", "PractitionerRole", "HealthcareService", "Device", "Location")


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which Slots must lie entirely; microseconds since the epoch, half-open."""

    start: int
    end: int

    def period(self) -> Json:
        """It as a Period in UTC."""
        return {"start": _instant(self.start), "end": _instant(self.end)}


@dataclass(frozen=True, slots=True)
class Tier:
    """Actors by which a Schedule may be meant.

    Attributes:
        types: the types of actors that it judges.
        ranks: those that are meant, with their place in the order of preference.
    """

    types: frozenset[str]
    ranks: Mapping[str, int]


Tiers = tuple[Tier, ...]
"""One criterion. The first tier that judges any actor of a Schedule decides.

So a room that a Schedule names counts for more than the places at which its practitioner works.
"""


@dataclass(frozen=True, slots=True)
class Agenda:
    """A Schedule whose Slots may be offered.

    Attributes:
        schedule: its content.
        actors: what its actors refer to, comparable.
        preference: its place in the order of the criteria; the least comes first.
        zone: the IANA zone in which limits of the day are meant.
    """

    schedule: Resource
    actors: tuple[str, ...]
    preference: tuple[int, ...] = ()
    zone: str = "UTC"

    @property
    def reference(self) -> str:
        """`Schedule/<id>`."""
        return f"Schedule/{self.schedule['id']}"

    @property
    def actor(self) -> str:
        """Whom the Schedule is of: a practitioner before places and devices."""
        rank = {name: position for position, name in enumerate(_WHO)}
        first = min(self.actors, key=lambda one: rank.get(type_of(one), len(rank)), default="")
        return first or self.reference


OFFERED_STATUSES: Final = ("free", "busy-tentative")
"""Of Slots that may be offered: until it is tidied up, a lapsed hold leaves its Slot tentative."""


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A Slot of one of the Schedules that may turn out to be free.

    Attributes:
        slot: its content.
        time: its Schedule and span.
        agenda: its Schedule.
    """

    slot: Resource
    time: SlotTime
    agenda: Agenda


@dataclass(frozen=True, slots=True)
class Extras:
    """What every offer says, whatever its Slot.

    Attributes:
        window: becomes the requested period.
        patients: References, each a participant.
        reasons: CodeableConcepts.
    """

    window: Window
    patients: Sequence[Json] = ()
    reasons: Sequence[Json] = ()


def type_of(reference: str) -> str:
    """The type that `Type/id` names."""
    return reference.partition("/")[0]


def actors_of(schedule: Resource, base_url: str) -> tuple[str, ...]:
    """What the actors of a Schedule refer to, as `Type/id` where they are on this server."""
    found = (target(one, base_url) for one in schedule.get("actor", ()))
    return tuple(one for one in found if one is not None)


def rank_in(tiers: Tiers, actors: Collection[str]) -> int | None:
    """The place of the most preferred actor that is meant; None when the criterion fails."""
    for tier in tiers:
        judged = [one for one in actors if type_of(one) in tier.types]
        if judged:
            return min((tier.ranks[one] for one in judged if one in tier.ranks), default=None)
    return None


def free_slots(
    slots: Iterable[Resource], agendas: Mapping[str, Agenda], base_url: str
) -> list[FreeSlot]:
    """The Slots of these Schedules that can be booked at all by their length.

    Args:
        slots: as found.
        agendas: by `Schedule/<id>`.
        base_url: the tenant's FHIR base URL.
    """
    found = []
    for slot in slots:
        time = slot_time(slot, base_url)
        agenda = agendas.get(time.schedule) if time else None
        if time and agenda and too_long(time, "Slot") is None:
            found.append(FreeSlot(slot, time, agenda))
    return found


def touched_cells(slots: Iterable[FreeSlot]) -> list[str]:
    """The agenda cells that tell whether these Slots are occupied."""
    return list(dict.fromkeys(name for one in slots for name in cell_ids(one.time)))


def is_occupied(slot: FreeSlot, cells: Mapping[str, Cell], now: int) -> bool:
    """Whether anything lies over the Slot's time, as the guard would judge a booking.

    Args:
        slot: the Slot.
        cells: by id; one that is absent is empty.
        now: the present in microseconds since the epoch; what has lapsed by then holds nothing.
    """
    time = slot.time
    return any(
        entry.start < time.end
        and time.start < entry.end
        and (entry.expires is None or entry.expires > now)
        for name in cell_ids(time)
        if name in cells
        for entry in cells[name].entries
    )


@dataclass
class Selection:
    """The earliest of the Slots that come in order of their start.

    Slots that start at the same time are ordered by preference, so one more than wanted may be
    looked at.

    Attributes:
        most: how many in all.
        per_actor: how many of each actor; None for any number.
        actors: all who may have Slots, to know when everybody has enough.
    """

    most: int
    per_actor: int | None
    actors: frozenset[str]
    _taken: list[FreeSlot] = field(default_factory=list)
    _of: dict[str, int] = field(default_factory=dict)
    _satisfied: int = 0
    is_complete: bool = False

    def offer(self, slot: FreeSlot) -> None:
        """Take the Slot if it is wanted; it starts no earlier than those before.

        `is_complete` becomes true as soon as no later Slot can be among the chosen ones.
        """
        full = len(self._taken) >= self.most
        if self.is_complete or (full and slot.time.start > self._taken[self.most - 1].time.start):
            self.is_complete = True
            return
        actor = slot.agenda.actor
        count = self._of.get(actor, 0) + 1
        if self.per_actor is not None:
            if count > self.per_actor:
                return
            self._satisfied += count == self.per_actor
            self.is_complete = self._satisfied == len(self.actors)
        self._of[actor] = count
        self._taken.append(slot)

    def chosen(self) -> list[FreeSlot]:
        """The Slots, in order of start, then of preference."""
        ordered = sorted(
            self._taken, key=lambda one: (one.time.start, one.agenda.preference, one.slot["id"])
        )
        return ordered[: self.most]


def proposal(free: FreeSlot, extras: Extras) -> Resource:
    """The Appointment that books the Slot when it is handed to `$book`."""
    slot, schedule, time = free.slot, free.agenda.schedule, free.time
    built: Resource = {"resourceType": "Appointment", "status": "proposed"}
    for name in _FROM_SCHEDULE:
        value = slot.get(name) or schedule.get(name)
        if value:
            built[name] = value
    if "appointmentType" in slot:
        built["appointmentType"] = slot["appointmentType"]
    if extras.reasons:
        built["reasonCode"] = list(extras.reasons)
    built |= {"start": slot["start"], "end": slot["end"]}
    minutes = (time.end - time.start) // _MINUTE
    if minutes:
        built["minutesDuration"] = minutes
    built["slot"] = [{"reference": f"Slot/{slot['id']}"}]
    asked = (*schedule.get("actor", ()), *extras.patients)
    built["participant"] = [
        {"actor": actor, "required": "required", "status": "needs-action"} for actor in asked
    ]
    built["requestedPeriod"] = [extras.window.period()]
    return built


def _instant(moment: int) -> str:
    return format_instant(moment_of(moment))

"""When a Slot or an Appointment is, and which resources it names, in comparable form.

Times are microseconds since the epoch, spans half-open.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.dates import parse
from fhir_server.fhir.references import parse_reference
from fhir_server.fhir.types import Json, Resource


class SlotTime(NamedTuple):
    """A span of one Schedule's time.

    Attributes:
        schedule: `Schedule/<id>`.
        start: microseconds since the epoch, inclusive.
        end: microseconds since the epoch, exclusive.
    """

    schedule: str
    start: int
    end: int


class NamedSlot(NamedTuple):
    """One element of `Appointment.slot`.

    Attributes:
        position: its place in the list.
        id: the Slot's logical id; None when the reference does not lead to a Slot on this server.
    """

    position: int
    id: str | None


@lru_cache(maxsize=8_192)
def instant_of(text: str) -> int:
    """Microseconds since the epoch of a FHIR instant."""
    return parse(text, instant=True).low


def local_id(reference: Json, resource_type: str, base_url: str) -> str | None:
    """The logical id that a Reference names on this server.

    Relative, versioned and absolute references with our own base count; logical references,
    contained resources and other servers' addresses do not (None).
    """
    text = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(text, str):
        return None
    parsed = parse_reference(text, base_url)
    if parsed is None or parsed.absolute_base is not None or parsed.type != resource_type:
        return None
    return parsed.id


def target(reference: Json, base_url: str) -> str | None:
    """What a Reference points to, comparable: `Type/id` on this server, else its text."""
    text = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(text, str):
        return None
    parsed = parse_reference(text, base_url)
    return text if parsed is None else parsed.target


def slot_time(slot: Resource, base_url: str) -> SlotTime | None:
    """The Slot's Schedule and span; None when its Schedule is not on this server."""
    schedule = local_id(slot.get("schedule"), "Schedule", base_url)
    if schedule is None:
        return None
    return SlotTime(f"Schedule/{schedule}", instant_of(slot["start"]), instant_of(slot["end"]))


def appointment_span(appointment: Resource) -> tuple[int, int] | None:
    """The Appointment's start and end; None when either is absent."""
    if "start" not in appointment or "end" not in appointment:
        return None
    return instant_of(appointment["start"]), instant_of(appointment["end"])


def named_slots(appointment: Resource | None, base_url: str) -> tuple[NamedSlot, ...]:
    """The slots that the Appointment names, each once, in its order."""
    return tuple(_named_slots(appointment or {}, base_url))


def _named_slots(appointment: Resource, base_url: str) -> Iterator[NamedSlot]:
    seen: set[str] = set()
    for position, reference in enumerate(appointment.get("slot", ())):
        logical_id = local_id(reference, "Slot", base_url)
        if logical_id is None:
            yield NamedSlot(position, None)
        elif logical_id not in seen:
            seen.add(logical_id)
            yield NamedSlot(position, logical_id)


def covers(times: Iterable[SlotTime], start: int, end: int) -> bool:
    """Whether the union of the times contains [start, end) without a gap."""
    reached = start
    began = False
    for first, last in sorted((time.start, time.end) for time in times):
        if first <= reached <= last:
            began = True
            reached = last
    return began and reached >= end

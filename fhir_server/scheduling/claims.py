"""Which slots each Appointment of a plan holds before it and wants to hold after it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.fhir import errors
from fhir_server.fhir.dates import microseconds
from fhir_server.fhir.types import Resource
from fhir_server.scheduling import cells, holds, lifecycle, refusals
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.occupancy import (
    NamedSlot,
    SlotTime,
    appointment_span,
    covers,
    named_slots,
    slot_time,
)
from fhir_server.scheduling.plan import Hold, Occupancy, OccupancyKind, Write

PREFETCHED_CELLS: Final = 48
"""Cells of a slot that are loaded together with its first one: a day."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An Appointment's hold on one Slot.

    Attributes:
        appointment: `Appointment/<id>`.
        slot: the Slot's logical id.
        kind: how it is held.
        expression: the element that names the Slot.
        expires: when it ends by itself, as in `Occupancy`.
        owner: of what expires.
    """

    appointment: str
    slot: str
    kind: OccupancyKind
    expression: str
    expires: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """The holds that a plan ends, keeps and begins.

    Attributes:
        holders: the Appointments whose holds the plan decides.
        before: how each Slot is held before the plan, by the Slot's logical id.
        after: the claims on each Slot after the plan.
    """

    holders: frozenset[str]
    before: dict[str, Occupancy]
    after: dict[str, list[Claim]]

    @property
    def slots(self) -> list[str]:
        """The Slots whose holder may change."""
        return list(dict.fromkeys((*self.before, *self.after)))


@dataclass(frozen=True, slots=True)
class _Move:
    """One Appointment of the plan whose slots, status or time may change what it holds."""

    reference: str
    after: Resource | None
    kind_after: OccupancyKind | None
    slots_before: Sequence[NamedSlot]
    slots_after: Sequence[NamedSlot]
    hold: Hold | None


def decide(draft: Draft) -> tuple[Claims, list[errors.FhirError]]:
    """The claims of every Appointment that the plan writes, and what cannot be claimed.

    A past Appointment that does not fit its slots is a historic record when all of them are past
    or not here: it claims nothing new and keeps what it already holds.
    """
    moves = [move for write in draft.writes("Appointment") if (move := _move(draft, write))]
    if not moves:
        return Claims(frozenset(), {}, {}), []
    _prefetch(draft, moves)
    claims = Claims(frozenset(move.reference for move in moves), {}, {})
    refused: list[errors.FhirError] = []
    for move in moves:
        held = _held(draft, move)
        foreign = holds.foreign(held.values(), draft.view)
        if foreign is not None:
            refused.append(foreign)
            continue
        claims.before.update(held)
        wanted, wrong = _wanted(draft, move, held)
        refused += wrong
        for claim in wanted:
            claims.after.setdefault(claim.slot, []).append(claim)
    return claims, refused


def _move(draft: Draft, write: Write) -> _Move | None:
    before = draft.before("Appointment", write.id)
    after = write.resource
    if not (before or {}).get("slot") and not (after or {}).get("slot"):
        return None
    base_url = draft.view.base_url
    kind_before = lifecycle.appointment_kind(before)
    kind_after = lifecycle.appointment_kind(after)
    slots_before = named_slots(before, base_url) if kind_before else ()
    slots_after = named_slots(after, base_url) if kind_after else ()
    if not slots_before and not slots_after:
        return None
    reference = f"Appointment/{write.id}"
    hold = draft.hold(write.id)
    same_hold = (kind_before, slots_before) == (kind_after, slots_after) and hold is None
    untouched = same_hold and before and after and _same_time(before, after)
    if untouched and not _any_written(draft, slots_after):
        return None
    return _Move(reference, after, kind_after, slots_before, slots_after, hold)


def _same_time(before: Resource, after: Resource) -> bool:
    return all(before.get(element) == after.get(element) for element in ("start", "end"))


def _any_written(draft: Draft, slots: Sequence[NamedSlot]) -> bool:
    return any(slot.id is not None and draft.written("Slot", slot.id) for slot in slots)


def _prefetch(draft: Draft, moves: Sequence[_Move]) -> None:
    """Load every Slot in one go, then what tells who holds them in another.

    Appointments that cannot hold anything yet do not need the latter.
    """
    view = draft.view
    ids = {
        slot.id
        for move in moves
        for slot in (*move.slots_before, *move.slots_after)
        if slot.id is not None
    }
    stored = sorted(
        logical_id
        for logical_id in ids
        if (write := draft.written("Slot", logical_id)) is None or write.expected_version
    )
    view.prefetch(resources=[("Slot", logical_id) for logical_id in stored])
    if not any(move.slots_before for move in moves):
        return
    times = [
        time
        for logical_id in sorted(ids)
        for slot in (draft.before("Slot", logical_id), draft.after("Slot", logical_id))
        if slot is not None and (time := slot_time(slot, view.base_url)) is not None
    ]
    view.prefetch(cells=first_cells(times))


def first_cells(times: Iterable[SlotTime]) -> list[str]:
    """The cells worth loading before it is known whether the times change hands."""
    names = {name for time in times for name in cells.cell_ids(time, PREFETCHED_CELLS)}
    return sorted(names)


def _held(draft: Draft, move: _Move) -> dict[str, Occupancy]:
    """The Slots that the Appointment holds before the plan, and how."""
    held = {}
    for named in move.slots_before:
        slot = None if named.id is None else draft.before("Slot", named.id)
        time = None if slot is None else slot_time(slot, draft.view.base_url)
        if named.id is None or time is None:
            continue
        entry = cells.slot_entry(draft.view, f"Slot/{named.id}", time)
        if entry is not None and entry.holder == move.reference:
            held[named.id] = entry
    return held


def _wanted(
    draft: Draft, move: _Move, held: Mapping[str, Occupancy]
) -> tuple[list[Claim], list[errors.FhirError]]:
    if move.after is None or move.kind_after is None:
        return [], []
    claims = []
    times = []
    expires, owner = _end(move, held)
    refused: list[errors.FhirError] = []
    for named in move.slots_after:
        expression = f"Appointment.slot[{named.position}]"
        slot = None if named.id is None else draft.after("Slot", named.id)
        time = None if slot is None else slot_time(slot, draft.view.base_url)
        if named.id is None or time is None:
            refused.append(refusals.slot_unknown(expression))
            continue
        times.append(time)
        claims.append(Claim(move.reference, named.id, move.kind_after, expression, expires, owner))
        if named.id not in held and (long := cells.too_long(time, expression)):
            refused.append(long)
    if times and len(times) == len(move.slots_after):
        refused += _outside(move.after, times)
    if refused and _is_past(draft, move.after, times):
        return [claim for claim in claims if claim.slot in held], []
    return claims, refused


def _end(move: _Move, held: Mapping[str, Occupancy]) -> tuple[int | None, str | None]:
    """When and for whom the Appointment's claims end; a hold stays one while it is pending."""
    if move.hold is not None:
        return move.hold.expires, move.hold.owner
    if move.kind_after == "tentative":
        for entry in held.values():
            return entry.expires, entry.owner
    return None, None


def _outside(appointment: Resource, times: Sequence[SlotTime]) -> list[errors.FhirError]:
    span = appointment_span(appointment)
    if span is None:
        return [
            refusals.rule(
                refusals.TIME_OUTSIDE_SLOT,
                "An Appointment that holds slots needs start and end; send those of its slots.",
                "Appointment.start",
            )
        ]
    start, end = span
    if start > end:
        return [
            refusals.rule(
                refusals.START_AFTER_END,
                "Appointment.start lies after Appointment.end.",
                "Appointment.start",
            )
        ]
    if covers(times, start, end):
        return []
    return [
        refusals.rule(
            refusals.TIME_OUTSIDE_SLOT,
            "The Appointment's time does not lie within its slots. Send start and end within "
            "them, or name the slots that cover the whole time.",
            "Appointment.start",
            "Appointment.end",
        )
    ]


def _is_past(draft: Draft, appointment: Resource, times: Iterable[SlotTime]) -> bool:
    """Whether the Appointment is over, and so is every slot that can still be told."""
    span = appointment_span(appointment)
    if span is None:
        return False
    return max([span[1], *(one.end for one in times)]) <= microseconds(draft.view.now)

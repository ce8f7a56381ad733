"""Agenda cells: who holds which part of each half hour of a Schedule.

Every write that takes or gives back time rewrites each cell that it touches and names the version
it saw, so of two overlapping bookings decided at the same moment one always fails, whatever the
isolation of the database. Entries keep their whole span, in every cell they touch: exclusion is
exact to the microsecond.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.fhir import errors
from fhir_server.scheduling import refusals
from fhir_server.scheduling.occupancy import SlotTime
from fhir_server.scheduling.plan import CellWrite, Occupancy, View

CELL_MICROSECONDS: Final = 30 * 60 * 1_000_000
MAX_CELLS: Final = 1_500
"""Most cells that one occupied span may touch: a little more than 31 days."""


@dataclass(frozen=True, slots=True)
class Change:
    """One span of a Schedule that is given back or taken.

    Attributes:
        expression: the element that asks for it, for example `Appointment.slot[0]`.
        subject: how a refusal names the time, for example `Slot/1`.
    """

    schedule: str
    occupancy: Occupancy
    expression: str = ""
    subject: str = ""

    @property
    def time(self) -> SlotTime:
        """The Schedule and span."""
        return SlotTime(self.schedule, self.occupancy.start, self.occupancy.end)

    @property
    def key(self) -> tuple[str, str | None]:
        """What identifies the entry within a cell."""
        return self.occupancy.holder, self.occupancy.slot


def cell_ids(time: SlotTime, limit: int | None = None) -> list[str]:
    """The cells that a span touches, in order of time; at most `limit` of them."""
    first = time.start // CELL_MICROSECONDS
    last = max(first, (time.end - 1) // CELL_MICROSECONDS)
    if limit is not None:
        last = min(last, first + limit - 1)
    return [f"{time.schedule}|{number}" for number in range(first, last + 1)]


def too_long(time: SlotTime, expression: str) -> errors.BusinessRule | None:
    """The refusal of a span that touches more than `MAX_CELLS` cells; None when it is legal."""
    touched = (time.end - 1) // CELL_MICROSECONDS - time.start // CELL_MICROSECONDS + 1
    if touched <= MAX_CELLS:
        return None
    return refusals.rule(
        refusals.SPAN_TOO_LONG,
        f"The time touches {touched} half hours; at most {MAX_CELLS} (about 31 days) can be "
        "occupied at once. Split it into several Slots.",
        expression,
    )


def slot_entry(view: View, slot: str, time: SlotTime) -> Occupancy | None:
    """How an Appointment holds the Slot.

    Args:
        view: the present.
        slot: `Slot/<id>`.
        time: the Slot's stored time.
    """
    for entry in view.cell(cell_ids(time, 1)[0]).entries:
        if entry.slot == slot:
            return entry
    return None


def rewrite(
    view: View, given_back: Sequence[Change], taken: Sequence[Change]
) -> tuple[CellWrite, ...]:
    """The cells' new content.

    A span that was held exclusively and whose holder, Slot and time stay (only its kind changes)
    is never refused.

    Raises:
        SlotTaken: something taken overlaps another holder, or time that is closed.
        Issues: several of these.
    """
    touched = _by_cell(given_back), _by_cell(taken)
    names = sorted(touched[0].keys() | touched[1].keys())
    view.prefetch(cells=names)
    kept = {
        (*change.key, change.time) for change in given_back if change.occupancy.kind != "blocked"
    }
    refused: dict[tuple[str, str | None], errors.FhirError] = {}
    writes = []
    for name in names:
        cell = view.cell(name)
        added = touched[1].get(name, [])
        gone = {change.key for change in (*touched[0].get(name, ()), *added)}
        entries = [entry for entry in cell.entries if (entry.holder, entry.slot) not in gone]
        entries += [change.occupancy for change in added]
        for change in added:
            if change.key not in refused and (*change.key, change.time) not in kept:
                blocker = _blocker(change.occupancy, entries)
                if blocker is not None:
                    refused[change.key] = _taken(change, blocker)
        ordered = tuple(sorted(entries, key=_order))
        if ordered != cell.entries:
            writes.append(CellWrite(name, cell.version, ordered))
    if refused:
        refusals.refuse(list(refused.values()))
    return tuple(writes)


def _by_cell(changes: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in changes:
        for name in cell_ids(change.time):
            found.setdefault(name, []).append(change)
    return found


def _order(entry: Occupancy) -> tuple[int, int, str, str]:
    return entry.start, entry.end, entry.holder, entry.slot or ""


def _blocker(asked: Occupancy, entries: Iterable[Occupancy]) -> Occupancy | None:
    """What stands in the way: a holder before a mere closure. A closure itself goes over all."""
    if asked.kind == "blocked":
        return None
    found = None
    for entry in entries:
        if entry.holder == asked.holder or entry.end <= asked.start or asked.end <= entry.start:
            continue
        if entry.kind != "blocked":
            return entry
        found = entry
    return found


def _taken(change: Change, blocker: Occupancy) -> refusals.SlotTaken:
    closed = blocker.kind == "blocked"
    return slot_taken(change.subject, change.expression, change.time, closed=closed)


def slot_taken(
    subject: str, expression: str, time: SlotTime, *, closed: bool
) -> refusals.SlotTaken:
    """The refusal of time that is held, or closed (a busy-unavailable Slot)."""
    state = "closed for bookings" if closed else "already taken"
    return refusals.SlotTaken(
        f"The time of {subject} is {state}. Choose another free Slot: "
        f"GET Slot?schedule={time.schedule}&status=free.",
        expression=(expression,),
        details=refusals.SLOT_BLOCKED if closed else refusals.SLOT_TAKEN,
        schedule=time.schedule,
        start=time.start,
        end=time.end,
    )

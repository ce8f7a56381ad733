"""Holds: pending Appointments that keep their slots for one client and only for a while.

A hold is written like any Appointment; its agenda entries say when it ends and for whom it is.
From that instant on it holds nothing, whether or not anybody has written so: what wants its time
cancels it in the same write, and a sweep cancels what nobody wants. The extension `held-until`
tells readers the end; clients cannot set it.

How many holds a patient (or a client) has at a time is counted in a cell of its own, so two
requests at the same moment cannot both be the last one.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from fhir_server.fhir import errors
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.dates import format_instant, microseconds, moment_of
from fhir_server.fhir.types import Resource
from fhir_server.scheduling import cells, refusals
from fhir_server.scheduling.cancellation import cancelled, lapsed_reason
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.occupancy import SlotTime, instant_of, target
from fhir_server.scheduling.plan import CellWrite, Decide, Hold, Occupancy, Plan, View, Write

HELD_UNTIL: Final = canonical("StructureDefinition", "held-until")
LEDGER: Final = "holds"
"""The part of a ledger's cell id behind the bar, where other cells have a number."""

APPOINTMENT: Final = "Appointment/"
_ENDED = frozenset({"cancelled", "entered-in-error"})


def instant(at: int) -> str:
    """Microseconds since the epoch as a FHIR instant."""
    return format_instant(moment_of(at))


def held_until(appointment: Resource | None) -> int | None:
    """When the hold ends, in microseconds since the epoch; None when the Appointment is none."""
    if appointment is None or appointment.get("status") != "pending":
        return None
    for extension in appointment.get("extension", ()):
        if extension.get("url") == HELD_UNTIL:
            return instant_of(extension["valueInstant"])
    return None


def marked(appointment: Resource, until: int | None) -> Resource:
    """The Appointment with `held-until` as given, without it for None; the same if it is so."""
    extensions = appointment.get("extension", ())
    mine = [one for one in extensions if one.get("url") == HELD_UNTIL]
    wanted = [] if until is None else [{"url": HELD_UNTIL, "valueInstant": instant(until)}]
    if mine == wanted:
        return appointment
    kept = [one for one in extensions if one.get("url") != HELD_UNTIL]
    after = {name: value for name, value in appointment.items() if name != "extension"}
    return {**after, "extension": [*kept, *wanted]} if kept or wanted else after


def keep_true(draft: Draft) -> list[errors.FhirError]:
    """See that `held-until` says of every written Appointment what is so.

    Returns:
        The refusals of Appointments whose hold has lapsed and that are to be used all the same.
    """
    refused: list[errors.FhirError] = []
    now = microseconds(draft.view.now)
    for write in draft.writes("Appointment"):
        until = held_until(draft.before("Appointment", write.id))
        after = write.resource
        lapsed = until is not None and until <= now
        if lapsed and after is not None and after["status"] not in _ENDED:
            refused.append(_lapsed_refusal(until))
        hold = draft.hold(write.id)
        if after is None or (until is None and hold is None and "extension" not in after):
            continue
        if hold is not None:
            until = hold.expires
        elif after["status"] != "pending":
            until = None
        told = marked(after, until)
        if told is not after:
            draft.change("Appointment", write.id, told)
    return refused


def _lapsed_refusal(until: int | None) -> errors.Conflict:
    ended = f" at {instant(until)}" if until is not None else ""
    return refusals.conflict(
        refusals.HOLD_LAPSED,
        f"The hold ended{ended} and the Appointment is cancelled. Hold or book the time anew, as "
        "long as it is free.",
        "Appointment",
    )


def foreign(entries: Iterable[Occupancy], view: View) -> errors.Conflict | None:
    """The refusal of a change to what another client holds at this moment."""
    now = microseconds(view.now)
    for entry in entries:
        if entry.expires is not None and entry.expires > now and entry.owner != view.client:
            return refusals.conflict(
                refusals.HELD,
                f"Another client holds the Appointment until {instant(entry.expires)}; only that "
                "client can book, move or release it before.",
                "Appointment",
            )
    return None


def lapsed_holders(draft: Draft, times: Collection[SlotTime]) -> list[str]:
    """The Appointments, by id, whose lapsed holds lie over these times and are still stored."""
    view = draft.view
    now = microseconds(view.now)
    touched = [(time, cells.cell_ids(time)) for time in times]
    view.prefetch(cells=[name for _, names in touched for name in names])
    found = {
        entry.holder.removeprefix(APPOINTMENT)
        for time, names in touched
        for name in names
        for entry in view.cell(name).entries
        if entry.expires is not None
        and entry.expires <= now
        and entry.start < time.end
        and time.start < entry.end
    }
    if not found:
        return []
    unwritten = sorted(one for one in found if draft.written("Appointment", one) is None)
    view.prefetch(resources=[("Appointment", one) for one in unwritten])
    return [one for one in unwritten if is_lapsed(draft.before("Appointment", one), now)]


def is_lapsed(appointment: Resource | None, now: int) -> bool:
    """Whether it is a hold that has ended and still says that it is pending."""
    until = held_until(appointment)
    return until is not None and until <= now


def lapse(appointment: Resource) -> Resource:
    """The Appointment as it is from the end of its hold on."""
    until = held_until(appointment)
    assert until is not None  # noqa: S101 - asked about before
    return cancelled(marked(appointment, None), instant(until), reason=lapsed_reason())


def plan_lapse(logical_id: str) -> Decide:
    """The decision to cancel an Appointment if its hold has lapsed; the result tells whether."""

    def decide(view: View) -> Plan:
        stored = view.get("Appointment", logical_id)
        live = None if stored is None or stored.deleted else stored.resource
        if stored is None or live is None or not is_lapsed(live, microseconds(view.now)):
            return Plan(result=False)
        write = Write("Appointment", logical_id, "update", lapse(live), "PUT", stored.version)
        return Plan((write,), result=True)

    return decide


@dataclass(slots=True)
class _Page:
    """What changes in one ledger.

    Attributes:
        gone: the Appointments that leave it.
        new: the holds that enter it, with the most that it may list.
    """

    gone: set[str] = field(default_factory=set)
    new: list[tuple[Hold, int]] = field(default_factory=list)


def count(draft: Draft, before: Iterable[Occupancy]) -> tuple[CellWrite, ...]:
    """The ledgers that change with the plan's holds.

    Args:
        draft: the plan.
        before: how the plan's Appointments hold their slots before it.

    Raises:
        Conflict: a patient or a client would have more holds than the limit.
    """
    owners = {one.holder: one.owner for one in before if one.owner is not None}
    if not owners and not draft.has_holds:
        return ()
    pages: dict[str, _Page] = {}
    for write in draft.writes("Appointment"):
        reference = f"{APPOINTMENT}{write.id}"
        stored = draft.before("Appointment", write.id)
        hold = draft.hold(write.id)
        if held_until(stored) is None and hold is None:
            continue
        if hold is None and held_until(write.resource) is not None:
            continue
        for name in _names(draft, stored, owners.get(reference)):
            pages.setdefault(name, _Page()).gone.add(reference)
        if hold is not None and write.resource is not None:
            for name, most in _limits(draft, write.resource, hold):
                pages.setdefault(name, _Page()).new.append((hold, most))
    if not pages:
        return ()
    draft.view.prefetch(cells=sorted(pages))
    written = [_rewritten(draft, name, pages[name]) for name in sorted(pages)]
    return tuple(one for one in written if one is not None)


def _names(draft: Draft, appointment: Resource | None, owner: str | None) -> list[str]:
    names = [f"{one}|{LEDGER}" for one in _patients(draft, appointment or {})]
    return [*names, f"Client/{owner}|{LEDGER}"] if owner is not None else names


def _limits(draft: Draft, appointment: Resource, hold: Hold) -> list[tuple[str, int]]:
    patients = _patients(draft, appointment) if hold.per_patient else ()
    found = [(f"{one}|{LEDGER}", hold.per_patient) for one in patients]
    if hold.per_client:
        found.append((f"Client/{hold.owner}|{LEDGER}", hold.per_client))
    return found


def _patients(draft: Draft, appointment: Resource) -> list[str]:
    actors = (
        target(one.get("actor"), draft.view.base_url) for one in appointment.get("participant", ())
    )
    return sorted({one for one in actors if one is not None and one.startswith("Patient/")})


def _rewritten(draft: Draft, name: str, page: _Page) -> CellWrite | None:
    cell = draft.view.cell(name)
    now = microseconds(draft.view.now)
    gone = page.gone | {hold.appointment for hold, _ in page.new}
    live = [one for one in cell.entries if (one.expires or 0) > now and one.holder not in gone]
    for hold, most in page.new:
        if len(live) >= most:
            raise _too_many(name, most, min(one.expires or 0 for one in live))
        live.append(Occupancy(0, 0, hold.appointment, None, "tentative", hold.expires, hold.owner))
    entries = tuple(sorted(live, key=lambda one: one.holder))
    return None if entries == cell.entries else CellWrite(name, cell.version, entries)


def _too_many(name: str, most: int, next_end: int) -> errors.Conflict:
    who = "client" if name.startswith("Client/") else "patient"
    return refusals.conflict(
        refusals.HOLD_LIMIT,
        f"This {who} has {most} holds already, which is the most at a time. Book or release one "
        f"of them; the next one ends at {instant(next_end)}.",
        "Appointment.participant" if who == "patient" else "Appointment",
    )

"""The guard that completes every plan: Appointments, Slots and agenda cells always agree.

It adds to a plan what its writes imply (the status of the slots that an Appointment takes or
gives back, the agenda cells of all time that changes hands) and refuses what would occupy a
Schedule's time twice. The rules are R4's workflow table
(https://hl7.org/fhir/R4/appointment.html#notes); the reasons are in `refusals`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from fhir_server.fhir import errors
from fhir_server.scheduling import (
    cells,
    claims,
    holds,
    lifecycle,
    moves,
    refusals,
    response,
    slot_case,
)
from fhir_server.scheduling.cells import Change
from fhir_server.scheduling.claims import Claim, Claims
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.occupancy import local_id
from fhir_server.scheduling.plan import CellWrite, Plan, View, Write
from fhir_server.scheduling.slot_case import SlotCase

_PERHAPS_FREE: Final = frozenset({None, "free", "busy-tentative"})
"""Statuses of a Slot that do not yet tell that it is taken: a hold may have lapsed."""

GUARDED: Final = frozenset({"Appointment", "Slot", "Schedule", "AppointmentResponse"})


def extend(plan: Plan, view: View) -> Plan:
    """The plan with everything that scheduling demands of it; the same plan if that is nothing.

    Args:
        plan: one or many writes; they are judged together, as if they happened at once.
        view: the present, without the plan.

    Raises:
        Conflict: time is taken or closed, or a resource is held or referred to (409).
        SlotTaken: a Conflict about time, with what is needed to offer alternatives.
        BusinessRule: a reference or a time is not acceptable (422).
        Issues: several of these.
    """
    if not any(write.type in GUARDED for write in plan.writes):
        return plan
    draft = Draft(plan, view)
    for write in draft.writes("AppointmentResponse"):
        response.answer(draft, write)
    refused = [*holds.keep_true(draft), *moves.refused_moves(draft)]
    if refused:
        refusals.refuse(refused)
    while True:
        found, cases, refused = _judge(draft)
        if refused:
            refusals.refuse(refused)
        if not found.before:
            _refuse_plainly(found, cases)
        lapsed = _lapsed(draft, cases)
        if not lapsed:
            return draft.plan(_settle(draft, found, cases))
        _end_holds(draft, lapsed)


def findings(plan: Plan, view: View) -> list[errors.FhirError]:
    """Everything for which `extend` would refuse the plan; it stops at the first kind."""
    draft = Draft(plan, view)
    found, cases, refused = _judge(draft)
    refused = [*holds.keep_true(draft), *moves.refused_moves(draft), *refused]
    lapsed = _lapsed(draft, cases)
    if lapsed:
        _end_holds(draft, lapsed)
        found, cases, _ = _judge(draft)
    try:
        _settle(draft, found, cases)
    except errors.Issues as several:
        refused += several.issues
    except errors.FhirError as refusal:
        refused.append(refusal)
    return refused


def _end_holds(draft: Draft, lapsed: Iterable[str]) -> None:
    for logical_id in lapsed:
        held = draft.before("Appointment", logical_id)
        if held is not None:
            draft.change("Appointment", logical_id, holds.lapse(held))


def _judge(draft: Draft) -> tuple[Claims, dict[str, SlotCase], list[errors.FhirError]]:
    """The claims of the plan, the Slots whose time may change hands, and what is wrong with it.

    The latter is so whoever holds the time.
    """
    found, refused = claims.decide(draft)
    for write in draft.writes("Schedule"):
        refused += _schedule_refusals(draft, write)
    cases = [slot_case.slot_case(draft, write.id) for write in draft.writes("Slot")]
    _prefetch_schedules(draft, cases)
    for case in cases:
        refused += _slot_refusals(draft, case)
    moved = {case.id: case for case in cases if case.occupies and case.changed_element}
    for logical_id in found.slots:
        moved.setdefault(logical_id, slot_case.slot_case(draft, logical_id))
    return found, moved, refused


def _lapsed(draft: Draft, cases: Mapping[str, SlotCase]) -> list[str]:
    """The Appointments whose holds have lapsed and lie over time that changes hands."""
    if not cases:
        return []
    times = {
        time for case in cases.values() for time in (case.time_before, case.time_after) if time
    }
    return holds.lapsed_holders(draft, times)


def _settle(draft: Draft, found: Claims, cases: Mapping[str, SlotCase]) -> tuple[CellWrite, ...]:
    """Flip the slots' statuses in the draft and return the cells that change."""
    ledgers = holds.count(draft, found.before.values())
    if not cases:
        return ledgers
    given_back: list[Change] = []
    taken: list[Change] = []
    refused: list[errors.FhirError] = []
    for case in cases.values():
        held = found.before.get(case.id) or slot_case.holding(draft, case)
        holder = held.holder if held else None
        wanted = found.after.get(case.id, [])
        wrong = _status_refusals(case, holder, wanted, found.holders)
        refused += wrong
        if wrong:
            continue
        _flip(draft, case, holder, wanted)
        before = slot_case.occupied(case, held)
        after = slot_case.occupations(draft, case, wanted)
        if [change.occupancy for change in before] != [change.occupancy for change in after] or (
            case.schedule_set
        ):
            given_back += before
            taken += after
    rewritten: tuple[CellWrite, ...] = ()
    try:
        rewritten = cells.rewrite(draft.view, given_back, taken)
    except errors.Issues as several:
        refused += several.issues
    except errors.FhirError as refusal:
        refused.append(refusal)
    if refused:
        refusals.refuse(refused)
    return (*ledgers, *rewritten)


def _refuse_plainly(found: Claims, cases: Mapping[str, SlotCase]) -> None:
    """Refuse without a look at the cells when nothing is given back and a Slot is not free.

    Many want the same Slot at the same moment; all but one of them end here.
    """
    refused = [
        _unavailable(cases[claim.slot], claim, status)
        for wanted in found.after.values()
        for claim in wanted
        if (status := cases[claim.slot].status_before) not in _PERHAPS_FREE
    ]
    if refused:
        refusals.refuse(refused)


def _prefetch_schedules(draft: Draft, cases: Iterable[SlotCase]) -> None:
    wanted = {
        case.time_after.schedule.removeprefix("Schedule/")
        for case in cases
        if case.after is not None and case.schedule_set and case.time_after is not None
    }
    stored = [name for name in sorted(wanted) if draft.written("Schedule", name) is None]
    if stored:
        draft.view.prefetch(resources=[("Schedule", logical_id) for logical_id in stored])


def _schedule_refusals(draft: Draft, write: Write) -> list[errors.FhirError]:
    if write.resource is not None or not draft.view.exists("Slot", f"schedule=Schedule/{write.id}"):
        return []
    return [
        refusals.conflict(
            refusals.REFERENCED,
            f"Slots refer to Schedule/{write.id}. Delete them first: "
            f"GET Slot?schedule=Schedule/{write.id} lists them.",
            "Schedule",
        )
    ]


def _slot_refusals(draft: Draft, case: SlotCase) -> list[errors.FhirError]:
    """What is wrong with a Slot that the client writes, whoever holds it."""
    if case.after is None or (case.before is not None and case.changed_element is None):
        return []
    refused: list[errors.FhirError] = []
    time = case.time_after
    if case.schedule_set:
        schedule = local_id(case.after.get("schedule"), "Schedule", draft.view.base_url)
        if schedule is None or draft.after("Schedule", schedule) is None:
            refused.append(
                refusals.rule(
                    refusals.SCHEDULE_UNKNOWN,
                    "Slot.schedule does not lead to a Schedule on this server. Create the "
                    "Schedule first, then refer to it as Schedule/[id].",
                    "Slot.schedule",
                )
            )
    if time is not None and time.start >= time.end:
        refused.append(
            refusals.rule(
                refusals.START_AFTER_END, "A Slot starts before it ends.", "Slot.start", "Slot.end"
            )
        )
    elif time is not None and case.occupies and (long := cells.too_long(time, "Slot.end")):
        refused.append(long)
    return refused


def _status_refusals(
    case: SlotCase, holder: str | None, wanted: Collection[Claim], deciders: Collection[str]
) -> list[errors.FhirError]:
    """Who may not have the Slot, and a status that contradicts its holder.

    Args:
        case: the Slot.
        holder: the Appointment that holds it before the plan.
        wanted: the claims on it after the plan.
        deciders: the Appointments whose holds the plan decides.
    """
    if not wanted:
        locked = holder is not None and holder not in deciders
        return [_held(case)] if locked and case.changed_element else []
    keeps = holder is not None and (
        holder not in deciders or any(claim.appointment == holder for claim in wanted)
    )
    found = []
    for claim in wanted:
        if holder == claim.appointment:
            refused = _contradiction(case, claim)
        elif keeps:
            refused = _unavailable(case, claim, "busy")
        else:
            refused = _newly_claimed(case, claim, released=holder is not None)
        if refused is not None:
            found.append(refused)
    return found


def _newly_claimed(case: SlotCase, claim: Claim, *, released: bool) -> errors.FhirError | None:
    """The refusal of a claim on a Slot that no Appointment holds, or gives back in this plan."""
    base = "free" if released or case.status_before is None else case.status_before
    if base != "free":
        return _unavailable(case, claim, base)
    return None if case.status_after == "free" else _contradiction(case, claim)


def _contradiction(case: SlotCase, claim: Claim) -> errors.FhirError | None:
    """The refusal of a status, set by the client, that the Slot's holder does not allow."""
    status = lifecycle.HELD_SLOT_STATUS[claim.kind]
    return _held(case, status) if case.status_set and case.status_after != status else None


def _unavailable(case: SlotCase, claim: Claim, status: str | None) -> errors.FhirError:
    if status == "entered-in-error" or case.time_after is None:
        return refusals.rule(
            refusals.SLOT_UNKNOWN,
            f"{case.reference} was entered in error. Choose a Slot from GET Slot?status=free.",
            claim.expression,
        )
    closed = status == "busy-unavailable"
    return cells.slot_taken(case.reference, claim.expression, case.time_after, closed=closed)


def _held(case: SlotCase, status: str | None = None) -> errors.Conflict:
    remedy = (
        f"Leave the status out of the change or send {status}."
        if status
        else "Cancel or move the Appointment first; other elements may change at any time."
    )
    return refusals.conflict(
        refusals.HELD_BY_APPOINTMENT,
        f"An Appointment holds {case.reference}: its status, time and Schedule follow the "
        f"Appointment. {remedy}",
        "Slot.status" if status else case.changed_element or "Slot",
    )


def _flip(draft: Draft, case: SlotCase, holder: str | None, wanted: Collection[Claim]) -> None:
    """Give the Slot the status that its holder demands, or free it when it was given back."""
    slot = draft.after("Slot", case.id)
    if slot is None:
        return
    if wanted:
        status = lifecycle.HELD_SLOT_STATUS[next(iter(wanted)).kind]
    elif holder is not None and not case.status_set:
        status = "free"
    else:
        return
    if slot["status"] != status:
        draft.change("Slot", case.id, {**slot, "status": status})

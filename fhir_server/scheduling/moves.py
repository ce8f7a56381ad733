"""Which changes of an Appointment or a Slot are legal, whoever makes them and on whatever way.

Statuses follow `lifecycle`. What was agreed stays: a booked Appointment keeps its patient and the
actors whose time it holds; one that has ended keeps its time, slots and actors as well. Where the
slots of a booked Appointment change, the guard takes the new ones in the same write or refuses.
"""

from collections.abc import Iterable

from fhir_server.fhir import errors
from fhir_server.fhir.types import Resource
from fhir_server.scheduling import lifecycle, refusals
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.occupancy import instant_of, local_id, named_slots, target

_PATIENT = "Patient/"


def refused_moves(draft: Draft) -> list[errors.FhirError]:
    """What is wrong with the changes that the plan makes to Appointments and Slots."""
    refused: list[errors.FhirError] = []
    for resource_type in lifecycle.MOVES:
        for write in draft.writes(resource_type):
            before = draft.before(resource_type, write.id)
            if before is None or write.resource is None:
                continue
            wrong = _wrong_status(resource_type, before["status"], write.resource["status"])
            if wrong:
                refused.append(wrong)
            elif resource_type == "Appointment":
                refused += _wrong_content(draft, before, write.resource)
    return refused


def _wrong_status(resource_type: str, before: str, after: str) -> errors.BusinessRule | None:
    if lifecycle.may_follow(resource_type, before, after):
        return None
    return wrong_status(resource_type, before, lifecycle.MOVES[resource_type].get(before, ()))


def wrong_status(resource_type: str, status: str, allowed: Iterable[str]) -> errors.BusinessRule:
    """The refusal of a move, with the statuses that may follow the present one."""
    names = ", ".join(allowed)
    told = f"it can become {names}" if names else "it stays so for ever"
    return refusals.rule(
        refusals.WRONG_STATUS,
        f"The {resource_type} is {status}; {told}.",
        f"{resource_type}.status",
    )


def _wrong_content(draft: Draft, before: Resource, after: Resource) -> list[errors.FhirError]:
    """What was agreed, or has ended, and is changed all the same."""
    status = before["status"]
    if status in lifecycle.ENDED_STATUSES:
        return _changed_after_the_end(draft, before, after)
    keeps = status in lifecycle.AGREED_STATUSES and lifecycle.appointment_kind(after) is not None
    if not keeps or before.get("participant") == after.get("participant"):
        return []
    return _exchanged(draft, before, after)


def _changed_after_the_end(
    draft: Draft, before: Resource, after: Resource
) -> list[errors.FhirError]:
    base_url = draft.view.base_url
    changed = []
    for element in ("start", "end"):
        one, two = before.get(element), after.get(element)
        if one != two and (one is None or two is None or instant_of(one) != instant_of(two)):
            changed.append(f"Appointment.{element}")
    if before.get("slot") != after.get("slot") and named_slots(before, base_url) != named_slots(
        after, base_url
    ):
        changed.append("Appointment.slot")
    if before.get("participant") != after.get("participant") and _actors(
        before, base_url
    ) != _actors(after, base_url):
        changed.append("Appointment.participant")
    if not changed:
        return []
    return [
        refusals.rule(
            refusals.ENDED,
            f"The Appointment is {before['status']}: its time, slots and actors stay as they are. "
            f"Set it to {lifecycle.ERROR} and create the right one.",
            *changed,
        )
    ]


def _exchanged(draft: Draft, before: Resource, after: Resource) -> list[errors.FhirError]:
    base_url = draft.view.base_url
    old, new = _actors(before, base_url), _actors(after, base_url)
    gone = old - new
    patients = {actor for actor in old if actor.startswith(_PATIENT)}
    if patients and patients <= gone:
        return [
            _fixed(
                "The patient of an Appointment that is booked cannot be exchanged. Cancel it and "
                "book anew."
            )
        ]
    bound = sorted((gone - patients) & schedule_actors(draft, after)) if gone - patients else ()
    if not bound:
        return []
    return [
        _fixed(
            f"The Appointment holds time of {', '.join(bound)}, which therefore takes part. Name "
            "slots of another Schedule in the same change, or cancel the Appointment."
        )
    ]


def _fixed(diagnostics: str) -> errors.BusinessRule:
    return refusals.rule(refusals.PARTICIPANT_FIXED, diagnostics, "Appointment.participant")


def _actors(appointment: Resource, base_url: str) -> frozenset[str]:
    found = (target(one.get("actor"), base_url) for one in appointment.get("participant", ()))
    return frozenset(actor for actor in found if actor is not None)


def schedule_actors(draft: Draft, appointment: Resource) -> frozenset[str]:
    """The actors of the Schedules whose Slots the Appointment names."""
    base_url = draft.view.base_url
    ids = [slot.id for slot in named_slots(appointment, base_url) if slot.id is not None]
    draft.view.prefetch(
        resources=[("Slot", one) for one in ids if draft.written("Slot", one) is None]
    )
    slots = [slot for one in ids if (slot := draft.after("Slot", one)) is not None]
    named = {local_id(slot.get("schedule"), "Schedule", base_url) for slot in slots}
    schedules = sorted(one for one in named if one is not None)
    draft.view.prefetch(
        resources=[("Schedule", one) for one in schedules if not draft.written("Schedule", one)]
    )
    found = [draft.after("Schedule", one) or {} for one in schedules]
    actors = (target(one, base_url) for schedule in found for one in schedule.get("actor", ()))
    return frozenset(actor for actor in actors if actor is not None)

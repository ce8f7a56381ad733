"""`Appointment/$book` in its basic form: a proposed or pending Appointment in, a booked one out.

The plan holds the Appointment alone; the guard that completes every plan takes the slots, so a
booking by operation and by plain create obey the same rules.
"""

from typing import Final, NamedTuple

from fhir_server.fhir import errors
from fhir_server.fhir.dates import format_instant, microseconds
from fhir_server.fhir.types import Resource
from fhir_server.scheduling import lifecycle, refusals
from fhir_server.scheduling.occupancy import instant_of, local_id, named_slots, target
from fhir_server.scheduling.plan import Plan, View, Write


def plan_book(
    appointment: Resource | str, view: View, new_id: str, *, comment: str | None = None
) -> Plan:
    """Book an Appointment.

    Patients that were asked (`needs-action`) have accepted by booking; other participants stay as
    sent. `start`, `end` and `created` are filled in when absent.

    Args:
        appointment: a valid Appointment, `proposed` or `pending`; with the id of one that is
            stored it replaces that one. Or the reference of a stored one.
        view: the present.
        new_id: the id of a new Appointment; the same on every attempt.
        comment: added to `Appointment.comment`.

    Returns:
        One write; `result` is `Appointment/<id>`.

    Raises:
        VersionConflict: the Appointment as sent is not the stored one's current version.
        BusinessRule: wrong status, no or unknown slots, a time in the past.
    """
    logical_id, version, resource = source(appointment, view, new_id, BOOKING)
    booked = {**resource, "status": "booked", **timed(resource, view)}
    booked["participant"] = [
        _agreeing(participant, view.base_url) for participant in resource.get("participant", ())
    ]
    booked.setdefault("created", format_instant(view.now))
    if comment:
        booked["comment"] = commented(resource, comment)
    return Plan((written(logical_id, version, booked),), result=f"Appointment/{logical_id}")


def plan_confirm(reference: str, view: View) -> Plan:
    """Book a pending Appointment because everybody has agreed, whoever was still asked.

    Args:
        reference: the stored Appointment's.
        view: the present.

    Returns:
        One write; `result` is `Appointment/<id>`.

    Raises:
        BusinessRule: the reference leads nowhere, it is not pending, or its time has passed.
    """
    logical_id, version, resource = source(reference, view, "", CONFIRMING)
    _refuse_past(resource["start"], view)
    booked = {**resource, "status": "booked"}
    booked["participant"] = [
        {**one, "status": "accepted"} if one.get("status") == "needs-action" else one
        for one in resource["participant"]
    ]
    return Plan((written(logical_id, version, booked),), result=f"Appointment/{logical_id}")


def written(logical_id: str, version: int, appointment: Resource) -> Write:
    """The write of an Appointment in place of that version; 0 for a new one."""
    if version:
        return Write("Appointment", logical_id, "update", appointment, "PUT", version)
    return Write("Appointment", logical_id, "create", appointment, "POST", 0)


def commented(appointment: Resource, comment: str) -> str:
    """The Appointment's comment with another one below."""
    earlier = appointment.get("comment")
    return f"{earlier}\n{comment}" if earlier else comment


class Purpose(NamedTuple):
    """What an Appointment is wanted for, and when that is possible.

    Attributes:
        done: for messages, a participle.
        statuses: those from which it can be done.
    """

    done: str
    statuses: tuple[str, ...]


BOOKING: Final = Purpose("booked", lifecycle.BOOKABLE_STATUSES)
HOLDING: Final = Purpose("held", lifecycle.BOOKABLE_STATUSES)
CONFIRMING: Final = Purpose("confirmed", ("pending",))


def source(
    appointment: Resource | str, view: View, new_id: str, purpose: Purpose
) -> tuple[str, int, Resource]:
    """The id, the version to replace (0 when new) and the content of what an operation is about.

    Args:
        appointment: content, with the id of a stored one in its place; or a reference.
        view: the present.
        new_id: the id of a new one.
        purpose: what it is wanted for.

    Raises:
        BusinessRule: the reference leads nowhere, or the status is not right.
        VersionConflict: the content is not of the current version.
    """
    if isinstance(appointment, str):
        named = local_id({"reference": appointment}, "Appointment", view.base_url)
    else:
        named = appointment.get("id")
    stored = view.get("Appointment", named) if named else None
    if named and stored is not None and not stored.deleted:
        refuse_status(stored.resource, purpose)
        if isinstance(appointment, str):
            return named, stored.version, stored.resource
        _refuse_outdated(appointment, stored.version)
        refuse_status(appointment, purpose)
        return named, stored.version, appointment
    if isinstance(appointment, str):
        raise unknown()
    refuse_status(appointment, purpose)
    return new_id, 0, appointment


def unknown() -> errors.BusinessRule:
    """The refusal of a reference that leads to no Appointment."""
    return refusals.rule(
        refusals.APPOINTMENT_UNKNOWN,
        "The reference does not lead to an Appointment on this server. Send the Appointment "
        "itself, or the reference of one that exists.",
        "Appointment",
    )


def refuse_status(appointment: Resource, purpose: Purpose) -> None:
    """Refuse an Appointment from whose status the purpose cannot be reached.

    Raises:
        BusinessRule: it names the statuses from which it can, and those that may follow.
    """
    status = appointment.get("status")
    if status in purpose.statuses:
        return
    allowed = ", ".join(lifecycle.APPOINTMENT_MOVES.get(str(status), ())) or "nothing else"
    raise refusals.rule(
        refusals.WRONG_STATUS,
        f"The Appointment is {status}; only an Appointment that is "
        f"{' or '.join(purpose.statuses)} can be {purpose.done}. It can become {allowed}.",
        "Appointment.status",
    )


def _refuse_outdated(appointment: Resource, version: int) -> None:
    sent = appointment.get("meta", {}).get("versionId")
    if sent is not None and sent != str(version):
        raise errors.VersionConflict(
            f"The Appointment was sent as version {sent}; the current one is {version}. Read it "
            "again and book that.",
            expression=("Appointment.meta.versionId",),
        )


def _slots(appointment: Resource, view: View) -> list[Resource]:
    """The Appointment's slots; the guard judges whether they can be had."""
    named = named_slots(appointment, view.base_url)
    if not named:
        raise refusals.rule(
            refusals.SLOT_REQUIRED,
            "Booking needs at least one Slot in Appointment.slot. Find one with "
            "GET Slot?status=free&schedule=Schedule/[id].",
            "Appointment.slot",
        )
    view.prefetch(resources=[("Slot", slot.id) for slot in named if slot.id is not None])
    found = []
    refused: list[errors.FhirError] = []
    for slot in named:
        stored = view.get("Slot", slot.id) if slot.id is not None else None
        if stored is None or stored.deleted:
            refused.append(refusals.slot_unknown(f"Appointment.slot[{slot.position}]"))
        else:
            found.append(stored.resource)
    if refused:
        refusals.refuse(refused)
    return found


def timed(appointment: Resource, view: View) -> dict[str, str]:
    """Start and end as sent, else those of the slots, which must be there and still ahead.

    Raises:
        BusinessRule: no or unknown slots, or a time in the past.
    """
    slots = _slots(appointment, view)
    start = appointment.get("start") or min((slot["start"] for slot in slots), key=instant_of)
    end = appointment.get("end") or max((slot["end"] for slot in slots), key=instant_of)
    _refuse_past(start, view)
    return {"start": start, "end": end}


def _refuse_past(start: str, view: View) -> None:
    if instant_of(start) < microseconds(view.now):
        raise refusals.rule(
            refusals.IN_THE_PAST,
            "The time has passed; choose a Slot that is still ahead: "
            f"GET Slot?status=free&start=ge{format_instant(view.now)}. What has taken place is "
            "recorded by creating the Appointment.",
            "Appointment.start",
        )


def _agreeing(participant: Resource, base_url: str) -> Resource:
    """The participant; a patient who was asked has agreed by booking."""
    actor = target(participant.get("actor"), base_url) or ""
    asked = participant.get("status") == "needs-action" and actor.startswith("Patient/")
    return {**participant, "status": "accepted"} if asked else participant

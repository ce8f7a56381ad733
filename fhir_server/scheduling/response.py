"""What an AppointmentResponse does to its Appointment.

The answer is copied to the participant that it comes from, then the overall status is derived
anew (https://hl7.org/fhir/R4/appointmentresponse.html, https://hl7.org/fhir/R4/appointment.html#notes).

- All required participants accepted: `proposed` or `pending` becomes `booked`.
- A required participant declined: `proposed`, `pending` or `booked` becomes `cancelled`.
- Anything else leaves the status. A participant is required unless it says `optional` or
  `information-only`.

An answer counts when it is created and when an update changes who answers what; deleting it or
correcting its comment has no effect. An answer to an Appointment that is over is only recorded.
Other times than the Appointment's own (a counter-proposal) are refused.
"""

from typing import Final

from fhir_server.fhir.dates import microseconds, parse
from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling import lifecycle, refusals
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.occupancy import appointment_span, instant_of, local_id, target
from fhir_server.scheduling.plan import Plan, View, Write

ANSWERING_ELEMENTS: Final = ("appointment", "actor", "participantType", "participantStatus")
NOT_REQUIRED: Final = frozenset({"optional", "information-only"})


def plan_response(response: Resource, view: View, new_id: str) -> Plan:
    """A new AppointmentResponse and what follows from it for the Appointment.

    The guard does the same for every plan that writes an AppointmentResponse, so a plain create
    has the same effect.

    Args:
        response: a valid AppointmentResponse.
        view: the present.
        new_id: the id it gets; the same on every attempt.

    Raises:
        BusinessRule: the Appointment does not exist, takes no answers, or the answer is not from
            one of its participants or proposes another time.
    """
    write = Write("AppointmentResponse", new_id, "create", response, "POST", 0)
    draft = Draft(Plan((write,), result=f"AppointmentResponse/{new_id}"), view)
    answer(draft, write)
    return draft.plan()


def answer(draft: Draft, write: Write) -> None:
    """Carry one written AppointmentResponse over to its Appointment, within the draft.

    Raises:
        BusinessRule: as `plan_response`.
    """
    response = write.resource
    if response is None or _says_the_same(draft.before("AppointmentResponse", write.id), response):
        return
    base_url = draft.view.base_url
    logical_id = local_id(response.get("appointment"), "Appointment", base_url)
    appointment = None if logical_id is None else draft.after("Appointment", logical_id)
    if logical_id is None or appointment is None:
        raise refusals.rule(
            refusals.APPOINTMENT_UNKNOWN,
            "The reference does not lead to an Appointment on this server.",
            "AppointmentResponse.appointment",
        )
    if not _is_ahead(appointment, microseconds(draft.view.now)):
        return
    answered = _answered(appointment, response, base_url)
    if answered is not appointment:
        draft.change("Appointment", logical_id, answered)


def _says_the_same(before: Resource | None, response: Resource) -> bool:
    return before is not None and all(
        before.get(element) == response.get(element) for element in ANSWERING_ELEMENTS
    )


def _is_ahead(appointment: Resource, now: int) -> bool:
    """Whether it starts later; without a time, whether it can still be given one."""
    span = appointment_span(appointment)
    if span is not None:
        return span[0] > now
    ends = [period.get("end") for period in appointment.get("requestedPeriod", ())]
    return not ends or any(end is None or parse(end).high > now for end in ends)


def _answered(appointment: Resource, response: Resource, base_url: str) -> Resource:
    """The Appointment after the answer; the same object when nothing changes."""
    matching = _matching(appointment, response, base_url)
    status = response["participantStatus"]
    participants = appointment["participant"]
    differing = [index for index in matching if participants[index].get("status") != status]
    if differing and appointment["status"] not in lifecycle.ANSWERABLE_STATUSES:
        raise refusals.rule(
            refusals.WRONG_STATUS,
            f"The Appointment is {appointment['status']} and takes no more answers; it does while "
            f"it is {', '.join(lifecycle.ANSWERABLE_STATUSES)}.",
            "AppointmentResponse.participantStatus",
        )
    _refuse_other_time(appointment, response)
    if not differing:
        return appointment
    changed = [
        {**participant, "status": status} if index in differing else participant
        for index, participant in enumerate(participants)
    ]
    overall = _overall_status(appointment, changed, [changed[index] for index in differing])
    return {**appointment, "status": overall, "participant": changed}


def _matching(appointment: Resource, response: Resource, base_url: str) -> list[int]:
    """The participants that the answer comes from: by actor, else by type where no actor is set."""
    actor = target(response.get("actor"), base_url)
    types = _codings(response.get("participantType", ()))
    participants = list(enumerate(appointment.get("participant", ())))
    if actor is not None:
        found = [
            index
            for index, participant in participants
            if target(participant.get("actor"), base_url) == actor
            and _types_agree(_codings(participant.get("type", ())), types)
        ]
        if found:
            return found
        participants = [(index, each) for index, each in participants if "actor" not in each]
    by_type = [index for index, each in participants if types & _codings(each.get("type", ()))]
    if len(by_type) == 1:
        return by_type
    element = "actor" if "actor" in response else "participantType"
    reason = "matches several participants" if by_type else "is not a participant"
    raise refusals.rule(
        refusals.NOT_A_PARTICIPANT,
        f"Whoever answers {reason} of the Appointment. Send the actor, and where needed the "
        "participantType, exactly as in Appointment.participant.",
        f"AppointmentResponse.{element}",
    )


def _types_agree(participant: frozenset[Json], response: frozenset[Json]) -> bool:
    return not participant or not response or bool(participant & response)


def _codings(concepts: Json) -> frozenset[Json]:
    return frozenset(
        (coding.get("system"), coding.get("code"))
        for concept in concepts
        for coding in concept.get("coding", ())
    )


def _refuse_other_time(appointment: Resource, response: Resource) -> None:
    for element in ("start", "end"):
        asked, own = response.get(element), appointment.get(element)
        if asked is None or (own is not None and instant_of(asked) == instant_of(own)):
            continue
        raise refusals.rule(
            refusals.COUNTER_PROPOSAL,
            "An answer cannot propose another time here. Answer without start and end, and ask "
            "for another Slot by a new Appointment.",
            f"AppointmentResponse.{element}",
        )


def _overall_status(
    appointment: Resource, participants: list[Resource], answering: list[Resource]
) -> str:
    status: str = appointment["status"]
    bookable = status in lifecycle.BOOKABLE_STATUSES
    if bookable or status == "booked":
        declined = any(each["status"] == "declined" for each in answering if _is_required(each))
        if declined:
            return "cancelled"
    required = [each for each in participants if _is_required(each)]
    agreed = bool(required) and all(each.get("status") == "accepted" for each in required)
    if bookable and agreed and appointment_span(appointment) is not None:
        return "booked"
    return status


def _is_required(participant: Resource) -> bool:
    return participant.get("required") not in NOT_REQUIRED

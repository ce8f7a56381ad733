"""AppointmentResponse: copied to the participant, then the overall status."""

from typing import Any

import pytest

from fhir_server.fhir.errors import BusinessRule, FhirError
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.refusals import SlotTaken
from fhir_server.scheduling.response import plan_response
from tests.agenda import (
    BASE_URL,
    NOW,
    Agenda,
    appointment,
    assert_consistent,
    at,
    clinic,
)

ATTENDER = [{"coding": [{"system": "http://example.org/type", "code": "ATND"}]}]
SURGEON = [{"coding": [{"system": "http://example.org/type", "code": "SPRF"}]}]


def response(
    status: str = "accepted", actor: str | None = "Practitioner/1", **more: Any
) -> Resource:
    """An answer to Appointment/1."""
    built: Resource = {
        "resourceType": "AppointmentResponse",
        "appointment": {"reference": "Appointment/1"},
        "participantStatus": status,
    }
    if actor:
        built["actor"] = {"reference": actor}
    return built | more


def asked_clinic(status: str = "pending", **more: Any) -> Agenda:
    """Appointment/1 on Slot/1: Patient/1 accepted, Practitioner/1 asked."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status=status, **more), "1"))
    return agenda


def respond(agenda: Agenda, content: Resource, logical_id: str = "r") -> list[str]:
    """The types of what an answer wrote."""
    plan = agenda.run(lambda view: plan_response(content, view, logical_id))
    assert_consistent(agenda)
    return [write.type for write in plan.writes]


def refused(agenda: Agenda, content: Resource) -> FhirError:
    """The refusal, after making sure that nothing was written."""
    before = agenda.copy()
    with pytest.raises(FhirError) as caught:
        respond(agenda, content)
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    return caught.value


def statuses(agenda: Agenda) -> list[str]:
    """The Appointment's status, then its participants'."""
    found = agenda.read("Appointment/1")
    return [found["status"], *(one["status"] for one in found["participant"])]


@pytest.mark.parametrize("status", ["proposed", "pending"])
def test_last_acceptance_books(status: str) -> None:
    """All have accepted: booked, and the Slot is busy."""
    agenda = asked_clinic(status)
    assert respond(agenda, response()) == ["AppointmentResponse", "Appointment", "Slot"]
    assert statuses(agenda) == ["booked", "accepted", "accepted"]
    assert agenda.read("Slot/1")["status"] == "busy"


@pytest.mark.parametrize("spelling", [f"{BASE_URL}/Practitioner/1", "Practitioner/1/_history/3"])
def test_actor_matches_in_any_spelling(spelling: str) -> None:
    """Base URL and version do not matter."""
    agenda = asked_clinic()
    respond(agenda, response(actor=spelling))
    assert statuses(agenda) == ["booked", "accepted", "accepted"]


def test_acceptance_of_some_leaves_the_status() -> None:
    """Others have not answered yet."""
    agenda = asked_clinic()
    third = {"actor": {"reference": "Location/1"}, "status": "needs-action"}
    agenda.write(
        agenda.put(
            "Appointment/1", participant=[*agenda.read("Appointment/1")["participant"], third]
        )
    )
    respond(agenda, response())
    assert statuses(agenda) == ["pending", "accepted", "accepted", "needs-action"]


@pytest.mark.parametrize("required", ["optional", "information-only"])
def test_who_is_not_required_neither_delays_nor_cancels(required: str) -> None:
    """Only required participants decide."""
    agenda = asked_clinic()
    third = {"actor": {"reference": "Location/1"}, "status": "needs-action", "required": required}
    agenda.write(
        agenda.put(
            "Appointment/1", participant=[*agenda.read("Appointment/1")["participant"], third]
        )
    )
    respond(agenda, response())
    respond(agenda, response("declined", "Location/1"), "r2")
    assert statuses(agenda) == ["booked", "accepted", "accepted", "declined"]


def test_nobody_required_books_nothing() -> None:
    """There is nobody whose consent would make it."""
    agenda = asked_clinic()
    optional = [
        {**one, "required": "optional"} for one in agenda.read("Appointment/1")["participant"]
    ]
    agenda.write(agenda.put("Appointment/1", participant=optional))
    respond(agenda, response())
    assert statuses(agenda) == ["pending", "accepted", "accepted"]


@pytest.mark.parametrize("status", ["proposed", "pending", "booked"])
def test_decline_of_a_required_participant_cancels(status: str) -> None:
    """The Slot is free again."""
    agenda = asked_clinic(status)
    respond(agenda, response("declined"))
    assert statuses(agenda) == ["cancelled", "accepted", "declined"]
    assert agenda.read("Slot/1")["status"] == "free"


@pytest.mark.parametrize("answer", ["tentative", "needs-action"])
def test_undecided_answer_leaves_the_status(answer: str) -> None:
    """It is copied, nothing more."""
    agenda = asked_clinic("booked")
    respond(agenda, response(answer, "Patient/1"))
    assert statuses(agenda) == ["booked", answer, "needs-action"]


def test_waitlist_keeps_its_status() -> None:
    """Answers are noted."""
    agenda = asked_clinic("waitlist")
    respond(agenda, response())
    assert statuses(agenda) == ["waitlist", "accepted", "accepted"]


def test_proposal_without_a_time_is_not_booked() -> None:
    """app-3: a booked Appointment has start and end."""
    agenda = clinic()
    agenda.write(agenda.post(appointment(status="proposed", start=None), "1"))
    respond(agenda, response())
    assert statuses(agenda) == ["proposed", "accepted", "accepted"]


def test_acceptance_of_a_taken_time_is_refused() -> None:
    """A proposal holds nothing; whoever confirms it may come too late."""
    agenda = asked_clinic("proposed")
    agenda.write(agenda.post(appointment("Slot/1"), "other"))
    assert isinstance(refused(agenda, response()), SlotTaken)


def test_answer_that_changes_nothing_writes_no_version() -> None:
    """It is stored, the Appointment stays."""
    agenda = asked_clinic()
    assert respond(agenda, response("accepted", "Patient/1")) == ["AppointmentResponse"]


# --- who answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        response(actor="Practitioner/2"),
        response(actor="https://elsewhere.org/fhir/Practitioner/1"),
        response(actor=None, participantType=ATTENDER),
    ],
)
def test_foreign_answer_is_refused(content: Resource) -> None:
    """422: not a participant."""
    error = refused(asked_clinic(), content)
    assert isinstance(error, BusinessRule)
    assert error.details == "not-a-participant"
    assert error.expression[0] in {
        "AppointmentResponse.actor",
        "AppointmentResponse.participantType",
    }


def typed_clinic() -> Agenda:
    """Two participants by type alone, one actor with a type."""
    return asked_clinic(
        participant=[
            {"type": ATTENDER, "status": "needs-action"},
            {"type": SURGEON, "status": "needs-action"},
            {"type": ATTENDER, "actor": {"reference": "Practitioner/1"}, "status": "needs-action"},
        ]
    )


def test_type_matches_where_no_actor_is_set() -> None:
    """A role that is still to be filled is answered for by type, with or without actor."""
    agenda = typed_clinic()
    respond(agenda, response(actor=None, participantType=SURGEON))
    respond(agenda, response(actor="Practitioner/7", participantType=ATTENDER), "r2")
    assert statuses(agenda) == ["pending", "accepted", "accepted", "needs-action"]


def test_type_of_several_participants_is_ambiguous() -> None:
    """The actor is asked for."""
    error = refused(typed_clinic(), response(actor=None, participantType=ATTENDER))
    assert "several" in error.diagnostics


def test_actor_with_another_type_is_foreign() -> None:
    """R4: the type shall be that of the Appointment."""
    agenda = asked_clinic(
        participant=[
            {"type": ATTENDER, "actor": {"reference": "Practitioner/1"}, "status": "needs-action"}
        ]
    )
    assert refused(agenda, response(participantType=SURGEON)).details == "not-a-participant"
    respond(agenda, response(participantType=ATTENDER))
    assert statuses(agenda) == ["booked", "accepted"]


# --- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["Appointment/none", "https://x.org/Appointment/1", "#a"])
def test_unknown_appointment_is_refused(reference: str) -> None:
    """422."""
    error = refused(asked_clinic(), response(appointment={"reference": reference}))
    assert (error.details, error.expression) == (
        "appointment-unknown",
        ("AppointmentResponse.appointment",),
    )


@pytest.mark.parametrize("content", [response(), response(actor="Practitioner/2")])
def test_late_answer_is_only_recorded(content: Resource) -> None:
    """An Appointment that has begun does not change."""
    agenda = asked_clinic()
    agenda.now = NOW.replace(hour=9)
    assert respond(agenda, content) == ["AppointmentResponse"]


@pytest.mark.parametrize(
    ("periods", "ahead"),
    [
        ([{"start": "2030-01-01", "end": "2030-01-07"}], True),
        ([{"start": "2029-01-01", "end": "2029-12-31"}], False),
        ([{"end": "2029-12-31"}, {"start": "2029-12-31"}], True),
        ([], True),
    ],
)
def test_appointment_without_a_time_is_ahead_while_its_period_lasts(
    periods: list[dict[str, str]], ahead: bool
) -> None:
    """The requestedPeriod tells how long it can still be given a time."""
    agenda = clinic()
    asked = appointment(status="proposed", start=None, requestedPeriod=periods)
    agenda.write(agenda.post(asked, "1"))
    assert ("Appointment" in respond(agenda, response())) is ahead


@pytest.mark.parametrize("status", ["cancelled", "noshow", "arrived", "entered-in-error"])
def test_answer_to_a_closed_appointment_is_refused(status: str) -> None:
    """422, unless it says what is known."""
    agenda = asked_clinic(status)
    error = refused(agenda, response())
    assert error.details == "wrong-status"
    assert status in error.diagnostics
    assert respond(agenda, response("needs-action")) == ["AppointmentResponse"]


@pytest.mark.parametrize("element", [{"start": at(300)}, {"end": at(300)}])
@pytest.mark.parametrize("answer", ["tentative", "declined", "accepted"])
def test_counter_proposal_is_refused(element: dict[str, str], answer: str) -> None:
    """Not offered, so not taken silently."""
    error = refused(asked_clinic(), response(answer, **element))
    assert error.details == "counter-proposal"
    assert error.expression == (f"AppointmentResponse.{next(iter(element))}",)


def test_times_of_the_appointment_are_no_counter_proposal() -> None:
    """In whatever zone they are written."""
    agenda = asked_clinic()
    respond(agenda, response(start="2030-01-07T10:00:00+01:00", end=at(90)))
    assert statuses(agenda)[0] == "booked"


def test_times_for_an_appointment_without_are_a_counter_proposal() -> None:
    """It has none to compare with."""
    agenda = clinic()
    agenda.write(agenda.post(appointment(status="proposed", start=None), "1"))
    assert refused(agenda, response(start=at(60), end=at(90))).details == "counter-proposal"


# --- other write paths ---------------------------------------------------------------------------


def test_plain_create_and_update_as_create_have_the_same_effect() -> None:
    """The guard carries every written answer over."""
    for write in ("post", "put"):
        agenda = asked_clinic()
        content = response()
        agenda.write(
            agenda.post(content, "r")
            if write == "post"
            else agenda.put("AppointmentResponse/r", content)
        )
        assert statuses(agenda) == ["booked", "accepted", "accepted"]


def test_changed_answer_counts() -> None:
    """An update that says something else is an answer."""
    agenda = asked_clinic()
    respond(agenda, response("tentative"))
    agenda.write(agenda.put("AppointmentResponse/r", participantStatus="accepted"))
    assert statuses(agenda) == ["booked", "accepted", "accepted"]


def test_corrected_comment_is_no_answer() -> None:
    """An older answer does not come back to life when it is only edited."""
    agenda = asked_clinic()
    respond(agenda, response("tentative"), "old")
    respond(agenda, response("accepted"), "new")
    agenda.write(agenda.put("AppointmentResponse/old", comment="typo"))
    assert statuses(agenda) == ["booked", "accepted", "accepted"]


def test_deleted_answer_has_no_effect() -> None:
    """Deleting takes nothing back."""
    agenda = asked_clinic()
    respond(agenda, response())
    agenda.write(agenda.delete("AppointmentResponse/r"))
    assert statuses(agenda) == ["booked", "accepted", "accepted"]


def test_answers_of_one_request_count_together() -> None:
    """Each sees what the one before it did; the Appointment is written once."""
    agenda = clinic()
    agenda.write(
        agenda.post(appointment("Slot/1", status="pending"), "1"),
        agenda.post(response("tentative", "Patient/1"), "r0"),
    )
    plan = agenda.write(
        agenda.post(response("accepted", "Patient/1"), "r1"),
        agenda.post(response("accepted", "Practitioner/1"), "r2"),
    )
    assert statuses(agenda) == ["booked", "accepted", "accepted"]
    assert [write.type for write in plan.writes].count("Appointment") == 1
    assert_consistent(agenda)

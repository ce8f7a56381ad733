"""$book: a proposed or pending Appointment in, a booked one out."""

from typing import Any

import pytest

from fhir_server.fhir.errors import BusinessRule, FhirError, Issues, VersionConflict
from fhir_server.fhir.outcome import status_of
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.booking import plan_book
from fhir_server.scheduling.refusals import SlotTaken
from tests.agenda import (
    BASE_URL,
    NOW,
    Agenda,
    appointment,
    assert_consistent,
    at,
    clinic,
    holders,
)


def book(
    agenda: Agenda, source: Resource | str, new_id: str = "1", comment: str | None = None
) -> object:
    """The result of a booking."""
    return agenda.run(lambda view: plan_book(source, view, new_id, comment=comment)).result


def refused(agenda: Agenda, source: Resource | str, new_id: str = "1") -> FhirError:
    """The refusal, after making sure that nothing was written."""
    before = agenda.copy()
    with pytest.raises(FhirError) as caught:
        book(agenda, source, new_id)
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    return caught.value


def proposal(
    *slots: str, start: int | None = None, end: int | None = None, **more: Any
) -> Resource:
    """What a patient's app sends."""
    status = more.pop("status", "proposed")
    built = appointment(*slots, start=start, end=end, status=status)
    built["participant"] = [
        {"actor": {"reference": "Patient/1"}, "status": "needs-action"},
        {"actor": {"reference": f"{BASE_URL}/Patient/2"}, "status": "tentative"},
        {"actor": {"reference": "Practitioner/1"}, "status": "needs-action"},
        {"type": [{"text": "room"}], "status": "needs-action"},
    ]
    return built | more


def test_new_appointment_is_booked() -> None:
    """Status, times, created and the asked patient's consent are filled in."""
    agenda = clinic()
    assert book(agenda, proposal("Slot/1")) == "Appointment/1"
    found = agenda.read("Appointment/1")
    assert (found["status"], found["start"], found["end"]) == ("booked", at(60), at(90))
    assert found["created"] == at(0)
    assert [one["status"] for one in found["participant"]] == [
        "accepted",
        "tentative",
        "needs-action",
        "needs-action",
    ]
    assert agenda.read("Slot/1")["status"] == "busy"
    assert_consistent(agenda)


def test_times_are_those_of_all_slots() -> None:
    """From the earliest start to the latest end, as the slots write them."""
    agenda = clinic()
    book(agenda, proposal("Slot/2", "Slot/1"))
    found = agenda.read("Appointment/1")
    assert (found["start"], found["end"]) == (at(60), at(120))


def test_what_the_client_sent_stays() -> None:
    """Times within the slots, created and the client's object itself."""
    agenda = clinic()
    asked = proposal("Slot/1", start=65, end=80, created="2029-12-31")
    sent = {**asked, "participant": [dict(one) for one in asked["participant"]]}
    book(agenda, asked)
    found = agenda.read("Appointment/1")
    assert (found["start"], found["end"], found["created"]) == (at(65), at(80), "2029-12-31")
    assert asked == sent


@pytest.mark.parametrize(
    ("earlier", "expected"), [(None, "by phone"), ("first visit", "first visit\nby phone")]
)
def test_comment_is_added(earlier: str | None, expected: str) -> None:
    """What was said before stays."""
    agenda = clinic()
    more: dict[str, Any] = {} if earlier is None else {"comment": earlier}
    book(agenda, proposal("Slot/1", **more), comment="by phone")
    assert agenda.read("Appointment/1")["comment"] == expected


@pytest.mark.parametrize("reference", ["Appointment/held", f"{BASE_URL}/Appointment/held"])
def test_stored_appointment_is_booked_by_reference(reference: str) -> None:
    """A hold becomes a booking; the id stays."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status="pending"), "held"))
    assert book(agenda, reference) == "Appointment/held"
    assert agenda.read("Appointment/held")["status"] == "booked"
    assert agenda.version("Appointment", "held") == 2
    assert agenda.read("Slot/1")["status"] == "busy"
    assert_consistent(agenda)


def test_stored_appointment_is_booked_by_its_content() -> None:
    """An Appointment that is sent with the id of a stored one replaces it."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status="pending"), "held"))
    sent = {**agenda.read("Appointment/held"), "description": "as agreed"}
    assert book(agenda, sent) == "Appointment/held"
    assert agenda.read("Appointment/held")["description"] == "as agreed"


def test_outdated_content_is_refused() -> None:
    """What others changed meanwhile is not overwritten."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status="pending"), "held"))
    sent = agenda.read("Appointment/held")
    agenda.write(agenda.put("Appointment/held", description="fasting"))
    assert isinstance(refused(agenda, sent), VersionConflict)


def test_unknown_id_is_ignored() -> None:
    """A new Appointment gets the server's id."""
    agenda = clinic()
    assert book(agenda, proposal("Slot/1", id="mine"), new_id="ours") == "Appointment/ours"


@pytest.mark.parametrize(
    "reference", ["Appointment/none", "Patient/1", "https://x.org/Appointment/1"]
)
def test_unknown_reference_is_refused(reference: str) -> None:
    """422."""
    error = refused(clinic(), reference)
    assert (error.details, status_of(error)) == ("appointment-unknown", 422)


def test_deleted_appointment_is_unknown() -> None:
    """It cannot be booked by reference."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status="pending"), "held"))
    agenda.write(agenda.delete("Appointment/held"))
    assert refused(agenda, "Appointment/held").details == "appointment-unknown"


@pytest.mark.parametrize("status", ["booked", "cancelled", "fulfilled", "waitlist", "noshow"])
def test_other_statuses_are_refused(status: str) -> None:
    """422 for what is sent and for what is stored; both name what can be booked."""
    agenda = clinic()
    sent = refused(agenda, proposal("Slot/1", status=status))
    assert isinstance(sent, BusinessRule)
    assert (sent.details, sent.expression) == ("wrong-status", ("Appointment.status",))
    assert "proposed or pending" in sent.diagnostics
    agenda.write(agenda.post(appointment("Slot/1", status=status), "old"))
    stored = refused(agenda, "Appointment/old")
    assert isinstance(stored, BusinessRule)
    assert stored.details == "wrong-status"


def test_slots_are_required() -> None:
    """The answer says how to find one."""
    error = refused(clinic(), proposal(start=60, end=90))
    assert (error.details, error.expression) == ("slot-required", ("Appointment.slot",))
    assert "GET Slot?status=free" in error.diagnostics


def test_unknown_slots_are_all_named() -> None:
    """At once, whatever kind of reference."""
    agenda = clinic()
    agenda.write(agenda.delete("Slot/2"))
    error = refused(agenda, proposal("Slot/none", "Slot/1", "#slot", "Slot/2"))
    assert isinstance(error, Issues)
    assert [one.expression for one in error.issues] == [
        ("Appointment.slot[0]",),
        ("Appointment.slot[2]",),
        ("Appointment.slot[3]",),
    ]


def test_past_is_refused() -> None:
    """A booking is for the time to come."""
    agenda = clinic()
    agenda.now = NOW.replace(day=NOW.day + 1)
    error = refused(agenda, proposal("Slot/1"))
    assert (error.details, error.expression) == ("in-the-past", ("Appointment.start",))


def test_booking_right_now_is_possible() -> None:
    """A walk-in."""
    agenda = clinic()
    agenda.now = NOW.replace(hour=9)
    book(agenda, proposal("Slot/1"))


def test_time_outside_the_slots_is_refused() -> None:
    """As by plain create."""
    error = refused(clinic(), proposal("Slot/1", start=60, end=100))
    assert error.details == "time-outside-slot"


def test_taken_slot_is_refused() -> None:
    """As by plain create."""
    agenda = clinic()
    book(agenda, proposal("Slot/1"))
    assert isinstance(refused(agenda, proposal("Slot/1"), "2"), SlotTaken)
    assert holders(agenda) == {"Slot/1": "Appointment/1"}

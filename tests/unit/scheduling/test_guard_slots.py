"""Plain writes of Slots and Schedules."""

from typing import Any

import pytest

from fhir_server.fhir.errors import BusinessRule, Conflict, FhirError, Issues
from fhir_server.scheduling.cells import MAX_CELLS
from fhir_server.scheduling.plan import Write
from fhir_server.scheduling.refusals import SlotTaken
from tests.agenda import (
    BASE_URL,
    Agenda,
    appointment,
    assert_consistent,
    at,
    clinic,
    entries,
    holders,
    slot,
)


def refused(agenda: Agenda, *writes: Write) -> FhirError:
    """The refusal of these writes, after making sure that nothing was written."""
    before = agenda.copy()
    with pytest.raises(FhirError) as caught:
        agenda.write(*writes)
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    return caught.value


def booked_clinic() -> Agenda:
    """The clinic with Slot/1 held by Appointment/1."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1"), "1"))
    return agenda


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "Schedule/none"},
        {"reference": "Patient/1"},
        {"reference": "https://elsewhere.org/fhir/Schedule/1"},
        {"reference": "#schedule"},
        {"identifier": {"value": "1"}},
        None,
    ],
)
@pytest.mark.parametrize("status", ["free", "busy"])
def test_slot_of_an_unknown_schedule_is_refused(reference: Any, status: str) -> None:
    """Its Schedule must be on this server."""
    agenda = clinic()
    wrong = slot(300, 330, status) | {"schedule": reference}
    error = refused(agenda, agenda.post(wrong, "new"))
    assert isinstance(error, BusinessRule)
    assert (error.details, error.expression) == ("schedule-unknown", ("Slot.schedule",))


def test_schedule_may_be_named_in_any_spelling() -> None:
    """Absolute and versioned references of our own are the same Schedule."""
    agenda = clinic()
    for number, reference in enumerate(("Schedule/1/_history/1", f"{BASE_URL}/Schedule/1")):
        busy = slot(300 + number * 30, 330 + number * 30, "busy", schedule=reference)
        agenda.write(agenda.post(busy, f"new{number}"))
    assert {schedule for schedule, _ in entries(agenda)} == {"Schedule/1"}


@pytest.mark.parametrize(("start", "end"), [(300, 300), (330, 300)])
def test_slot_starts_before_it_ends(start: int, end: int) -> None:
    """An empty or reversed Slot is refused."""
    agenda = clinic()
    assert refused(agenda, agenda.post(slot(start, end), "new")).details == "start-after-end"


def test_all_that_is_wrong_with_a_slot_is_told_at_once() -> None:
    """Schedule and time."""
    agenda = clinic()
    error = refused(agenda, agenda.post(slot(2, 1, schedule="Schedule/none"), "new"))
    assert isinstance(error, Issues)
    assert [one.details for one in error.issues] == ["schedule-unknown", "start-after-end"]


def test_free_slots_may_overlap() -> None:
    """They are offers."""
    agenda = booked_clinic()
    agenda.write(agenda.post(slot(60, 90), "new"))
    assert_consistent(agenda)


@pytest.mark.parametrize("status", ["busy", "busy-tentative"])
def test_busy_slot_over_a_booking_is_refused(status: str) -> None:
    """Time is held once, by whatever resource says so."""
    agenda = booked_clinic()
    error = refused(agenda, agenda.post(slot(80, 95, status), "new"))
    assert isinstance(error, SlotTaken)
    assert (error.details, error.expression) == ("slot-taken", ("Slot.status",))


def test_busy_slot_over_a_busy_slot_is_refused() -> None:
    """On create, on a change of status and on a move."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", status="busy"))
    assert refused(agenda, agenda.post(slot(80, 95, "busy"), "new")).details == "slot-taken"
    assert refused(agenda, agenda.put("Slot/4", status="busy")).details == "slot-taken"
    agenda.write(agenda.put("Slot/3", status="busy"))
    assert refused(agenda, agenda.put("Slot/3", start=at(89))).details == "slot-taken"
    agenda.write(agenda.put("Slot/3", start=at(90)))
    assert_consistent(agenda)


def test_block_goes_over_bookings() -> None:
    """Leave may be entered at any time; what is booked stays booked."""
    agenda = booked_clinic()
    agenda.write(agenda.post(slot(0, 240, "busy-unavailable"), "leave"))
    assert_consistent(agenda)
    agenda.write(agenda.put("Appointment/1", status="cancelled"))
    agenda.write(agenda.delete("Slot/leave"))
    assert agenda.cells == {}


def test_block_that_turns_busy_is_judged_anew() -> None:
    """It was not exclusive before."""
    agenda = booked_clinic()
    agenda.write(agenda.post(slot(60, 90, "busy-unavailable"), "leave"))
    assert refused(agenda, agenda.put("Slot/leave", status="busy")).details == "slot-taken"


def test_busy_slot_below_a_block_is_refused() -> None:
    """Closed time takes no new holder."""
    agenda = clinic()
    agenda.write(agenda.post(slot(0, 240, "busy-unavailable"), "leave"))
    assert refused(agenda, agenda.put("Slot/1", status="busy")).details == "slot-blocked"


def test_busy_slot_is_freed_and_deleted_by_its_owner() -> None:
    """What the Slot itself occupies, a plain write gives back."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", status="busy"))
    assert holders(agenda) == {"Slot/1": "Slot/1"}
    agenda.write(agenda.put("Slot/1", status="free"))
    assert agenda.cells == {}
    agenda.write(agenda.put("Slot/1", status="busy-tentative"))
    agenda.write(agenda.put("Slot/1", status="busy"))
    assert_consistent(agenda)
    agenda.write(agenda.delete("Slot/1"))
    assert agenda.cells == {}


def test_busy_slot_changes_its_schedule() -> None:
    """The time moves to the other agenda."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/2", status="busy"))
    agenda.write(agenda.put("Slot/2", schedule={"reference": "Schedule/2"}))
    assert {schedule for schedule, _ in entries(agenda)} == {"Schedule/2"}
    assert_consistent(agenda)


@pytest.mark.parametrize(
    ("changes", "element"),
    [
        ({"status": "free"}, "Slot.status"),
        ({"status": "busy-tentative"}, "Slot.status"),
        ({"status": "busy-unavailable"}, "Slot.status"),
        ({"status": "entered-in-error"}, "Slot.status"),
        ({"start": at(50)}, "Slot.start"),
        ({"end": at(95)}, "Slot.end"),
        ({"schedule": {"reference": "Schedule/2"}}, "Slot.schedule"),
    ],
)
def test_held_slot_keeps_status_time_and_schedule(changes: dict[str, Any], element: str) -> None:
    """409 says what to do first, and not who holds it."""
    agenda = booked_clinic()
    error = refused(agenda, agenda.put("Slot/1", **changes))
    assert isinstance(error, Conflict)
    assert (error.details, error.expression) == ("held-by-appointment", (element,))
    assert "Cancel or move the Appointment" in error.diagnostics
    assert "Appointment/1" not in error.diagnostics


def test_held_slot_cannot_be_deleted() -> None:
    """Cancel first."""
    agenda = booked_clinic()
    error = refused(agenda, agenda.delete("Slot/1"))
    assert (error.details, error.expression) == ("held-by-appointment", ("Slot",))
    agenda.write(agenda.put("Appointment/1", status="cancelled"))
    agenda.write(agenda.delete("Slot/1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"comment": "bring shoes"},
        {"schedule": {"reference": f"{BASE_URL}/Schedule/1", "display": "Dr Adams"}},
        {"start": "2030-01-07T10:00:00.000+01:00"},
    ],
)
def test_other_elements_of_a_held_slot_may_change(changes: dict[str, Any]) -> None:
    """The same instant and the same Schedule in other words are no change."""
    agenda = booked_clinic()
    plan = agenda.write(agenda.put("Slot/1", **changes))
    assert (len(plan.writes), plan.cells) == (1, ())
    assert_consistent(agenda)


def test_free_slot_that_stays_where_it_is_reads_nothing_more() -> None:
    """The hot update: neither Schedule nor cells are loaded, only the Slot itself."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", comment="bring shoes"))
    assert agenda.rounds == 1


def test_free_slot_moves_without_cells() -> None:
    """Nobody holds a free Slot."""
    agenda = clinic()
    plan = agenda.write(agenda.put("Slot/1", start=at(45)))
    assert (plan.cells, agenda.rounds) == ((), 1)


def test_very_long_busy_slot_is_refused() -> None:
    """The limit holds for Slots too, free ones excepted."""
    agenda = clinic()
    end = 300 + 30 * (MAX_CELLS + 1)
    agenda.write(agenda.post(slot(300, end), "free"))
    error = refused(agenda, agenda.post(slot(300, end, "busy-unavailable"), "leave"))
    assert (error.details, error.expression) == ("span-too-long", ("Slot.end",))


def test_conflict_at_the_end_of_the_calendar_is_a_conflict() -> None:
    """The last hours of the year 9999 in a western zone do not overflow."""
    agenda = clinic()
    last = slot(0, 30, "busy") | {
        "start": "9999-12-31T23:00:00-12:00",
        "end": "9999-12-31T23:30:00-12:00",
    }
    agenda.write(agenda.post(last, "last"))
    assert refused(agenda, agenda.post(last, "again")).details == "slot-taken"


# --- Schedules -----------------------------------------------------------------------------------


def test_schedule_with_slots_cannot_be_deleted() -> None:
    """409 tells how to find them."""
    agenda = clinic()
    error = refused(agenda, agenda.delete("Schedule/1"))
    assert isinstance(error, Conflict)
    assert error.details == "referenced"
    assert "GET Slot?schedule=Schedule/1" in error.diagnostics


def test_schedule_without_slots_can_be_deleted() -> None:
    """And is unknown from then on."""
    agenda = clinic()
    agenda.write(agenda.delete("Slot/5"))
    agenda.write(agenda.delete("Schedule/2"))
    error = refused(agenda, agenda.post(slot(1, 2, schedule="Schedule/2"), "new"))
    assert error.details == "schedule-unknown"


def test_schedule_is_created_with_its_slots() -> None:
    """The plan's own writes count."""
    agenda = clinic()
    new = {"resourceType": "Schedule", "actor": [{"reference": "Location/1"}]}
    agenda.write(
        agenda.post(slot(0, 30, schedule="Schedule/new"), "a"),
        agenda.post(slot(30, 60, "busy", schedule="Schedule/new"), "b"),
        agenda.post(new, "new"),
    )
    assert_consistent(agenda)


def test_slot_of_a_schedule_deleted_in_the_same_request_is_refused() -> None:
    """It would refer to nothing."""
    agenda = clinic()
    agenda.write(agenda.delete("Slot/5"))
    error = refused(
        agenda, agenda.delete("Schedule/2"), agenda.post(slot(1, 2, schedule="Schedule/2"), "new")
    )
    assert error.details == "schedule-unknown"


def test_schedule_change_is_free() -> None:
    """Other writes of a Schedule touch nothing."""
    agenda = clinic()
    plan = agenda.write(agenda.put("Schedule/1", comment="new room"))
    assert (len(plan.writes), plan.cells) == (1, ())

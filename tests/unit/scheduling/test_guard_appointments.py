"""What an Appointment does to its slots, on any write."""

from collections.abc import Sequence
from typing import Any

import pytest

from fhir_server.fhir.errors import BusinessRule, Conflict, FhirError, Invalid, Issues
from fhir_server.fhir.outcome import status_of
from fhir_server.scheduling.cells import MAX_CELLS
from fhir_server.scheduling.plan import Plan, Write
from fhir_server.scheduling.refusals import SlotTaken
from tests.agenda import (
    BASE_URL,
    NOW,
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


def book(agenda: Agenda, *slots: str, logical_id: str = "1", **more: Any) -> Plan:
    """A booked Appointment by plain create."""
    return agenda.write(agenda.post(appointment(*slots, **more), logical_id))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("proposed", "free"),
        ("pending", "busy-tentative"),
        ("booked", "busy"),
        ("arrived", "busy"),
        ("checked-in", "busy"),
        ("fulfilled", "busy"),
        ("noshow", "busy"),
        ("cancelled", "free"),
        ("entered-in-error", "free"),
        ("waitlist", "free"),
    ],
)
def test_slot_follows_the_status_of_its_appointment(status: str, expected: str) -> None:
    """The Slot is busy, tentatively busy or free as R4's workflow table says."""
    agenda = clinic()
    book(agenda, "Slot/1", status=status)
    assert agenda.read("Slot/1")["status"] == expected
    assert_consistent(agenda)


def test_a_flip_is_a_version_of_the_slot() -> None:
    """Subscribers of the Slot see its new status as a PUT of the next version."""
    agenda = clinic()
    plan = book(agenda, "Slot/1")
    assert [(one.type, one.method, one.expected_version) for one in plan.writes] == [
        ("Appointment", "POST", 0),
        ("Slot", "PUT", 1),
    ]
    assert agenda.version("Slot", "1") == 2


def test_booking_takes_two_loads() -> None:
    """First the slots, then their cells, however many they are."""
    agenda = clinic()
    asked = appointment("Slot/1", "Slot/2", "Slot/3", start=60, end=150)
    agenda.decide(lambda _: Plan((agenda.post(asked, "1"),)))
    assert agenda.rounds == 2


def test_losing_takes_one_load() -> None:
    """Who comes too late is told so from the Slot alone."""
    agenda = clinic()
    book(agenda, "Slot/1")
    assert isinstance(refused(agenda, agenda.post(appointment("Slot/1"), "2")), SlotTaken)
    assert agenda.rounds == 1


def test_appointment_without_slots_reads_nothing() -> None:
    """It holds no Schedule's time."""
    agenda = clinic()
    plan = book(agenda)
    assert (len(plan.writes), plan.cells, agenda.rounds) == (1, (), 0)


def test_other_types_are_not_looked_at() -> None:
    """A plan without a scheduling resource is returned as it is."""
    agenda = clinic()
    patient = {"resourceType": "Patient"}
    plan = Plan((agenda.post(patient, "1"),))
    assert agenda.decide(lambda _: plan) is plan


def test_second_appointment_on_a_slot_is_refused_with_facts_for_alternatives() -> None:
    """409 names the element, the reason, the Schedule and the time, and not the holder."""
    agenda = clinic()
    book(agenda, "Slot/1", logical_id="secret")
    error = refused(agenda, agenda.post(appointment("Slot/1"), "2"))
    assert isinstance(error, SlotTaken)
    assert status_of(error) == 409
    assert (error.details, error.expression) == ("slot-taken", ("Appointment.slot[0]",))
    assert error.schedule == "Schedule/1"
    assert (error.start - NOW).total_seconds() == 3600
    assert (error.end - NOW).total_seconds() == 5400
    assert "secret" not in error.diagnostics


def test_overlapping_free_slot_cannot_be_booked() -> None:
    """The time is what counts, not the Slot."""
    agenda = clinic()
    book(agenda, "Slot/1")
    asked = appointment("Slot/4", start=75, end=105)
    error = refused(agenda, agenda.post(asked, "2"))
    assert error.details == "slot-taken"
    assert agenda.read("Slot/4")["status"] == "free"


def test_overlapping_slots_of_one_appointment_are_no_conflict() -> None:
    """One holder may name slots of a Schedule that overlap."""
    agenda = clinic()
    book(agenda, "Slot/1", "Slot/4", start=60, end=105)
    assert_consistent(agenda)


def test_adjacent_slots_and_two_schedules_are_no_conflict() -> None:
    """Spans are half-open, and each Schedule has its own agenda."""
    agenda = clinic()
    book(agenda, "Slot/1", logical_id="1")
    book(agenda, "Slot/2", start=90, end=120, logical_id="2")
    book(agenda, "Slot/5", logical_id="3")
    assert_consistent(agenda)


def test_all_slots_that_cannot_be_had_are_named_at_once() -> None:
    """One answer tells every conflict."""
    agenda = clinic()
    book(agenda, "Slot/1", logical_id="1")
    book(agenda, "Slot/2", start=90, end=120, logical_id="2")
    asked = appointment("Slot/1", "Slot/2", "Slot/3", start=60, end=150)
    error = refused(agenda, agenda.post(asked, "3"))
    assert isinstance(error, Issues)
    assert [one.expression[0] for one in error.issues] == [
        "Appointment.slot[0]",
        "Appointment.slot[1]",
    ]
    assert status_of(error) == 409


@pytest.mark.parametrize(
    ("earlier", "status"),
    [
        ("booked", "cancelled"),
        ("booked", "entered-in-error"),
        ("booked", "waitlist"),
        ("pending", "proposed"),
    ],
)
def test_leaving_frees_the_slots(earlier: str, status: str) -> None:
    """Cancelled time can be booked again."""
    agenda = clinic()
    book(agenda, "Slot/1", "Slot/2", start=60, end=120, status=earlier)
    agenda.write(agenda.put("Appointment/1", status=status))
    assert agenda.read("Slot/1")["status"] == agenda.read("Slot/2")["status"] == "free"
    assert agenda.cells == {}
    book(agenda, "Slot/4", start=75, end=105, logical_id="2")


def test_delete_frees_the_slots() -> None:
    """A deleted Appointment holds nothing; put back it takes the time anew."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(agenda.delete("Appointment/1"))
    assert agenda.read("Slot/1")["status"] == "free"
    agenda.write(agenda.put("Appointment/1", appointment("Slot/1")))
    assert holders(agenda) == {"Slot/1": "Appointment/1"}


def test_no_show_keeps_the_slot() -> None:
    """The time is gone, whoever came."""
    agenda = clinic()
    book(agenda, "Slot/1")
    plan = agenda.write(agenda.put("Appointment/1", status="noshow"))
    assert (len(plan.writes), plan.cells) == (1, ())


def test_confirmation_turns_tentative_into_busy() -> None:
    """pending, booked: the same hold, another kind."""
    agenda = clinic()
    book(agenda, "Slot/1", status="pending")
    agenda.write(agenda.put("Appointment/1", status="booked"))
    assert agenda.read("Slot/1")["status"] == "busy"
    assert_consistent(agenda)


def test_confirmation_is_possible_below_a_later_block() -> None:
    """A block laid over a held time does not stop the one who holds it."""
    agenda = clinic()
    book(agenda, "Slot/1", status="pending")
    agenda.write(agenda.post(slot(0, 240, "busy-unavailable"), "block"))
    agenda.write(agenda.put("Appointment/1", status="booked"))
    assert_consistent(agenda)


def test_change_of_slots_moves_the_hold() -> None:
    """What is no longer named is free, what is new is busy, in one write."""
    agenda = clinic()
    book(agenda, "Slot/1", "Slot/2", start=60, end=120)
    moved = appointment("Slot/2", "Slot/3", start=90, end=150)
    agenda.write(agenda.put("Appointment/1", moved))
    assert holders(agenda) == {"Slot/2": "Appointment/1", "Slot/3": "Appointment/1"}
    assert_consistent(agenda)


def test_leaving_the_slots_out_frees_them() -> None:
    """An Appointment that names no Slot holds none, also when it held some before."""
    agenda = clinic()
    book(agenda, "Slot/1", "Slot/2", start=60, end=120)
    agenda.write(agenda.put("Appointment/1", appointment(start=60, end=120)))
    assert agenda.read("Appointment/1")["status"] == "booked"
    assert not holders(agenda)
    assert_consistent(agenda)


def test_move_to_a_slot_that_overlaps_the_own_one() -> None:
    """An Appointment never stands in its own way."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(agenda.put("Appointment/1", appointment("Slot/4", start=75, end=105)))
    assert holders(agenda) == {"Slot/4": "Appointment/1"}
    assert_consistent(agenda)


def test_slot_named_twice_is_held_once() -> None:
    """A repeated reference is one claim."""
    agenda = clinic()
    book(agenda, "Slot/1", "Slot/1")
    assert len(entries(agenda)) == 1


@pytest.mark.parametrize(
    "reference", [f"{BASE_URL}/Slot/1", "Slot/1/_history/1", f"{BASE_URL}/Slot/1/_history/1"]
)
def test_absolute_and_versioned_references_lead_to_our_slot(reference: str) -> None:
    """All spellings of our own address are the same Slot."""
    agenda = clinic()
    book(agenda, reference)
    assert holders(agenda) == {"Slot/1": "Appointment/1"}


@pytest.mark.parametrize(
    "reference",
    [
        "Slot/none",
        "https://elsewhere.org/fhir/Slot/1",
        "#slot",
        "urn:uuid:6e7c2d5e-3f0a-4c39-9ac5-0c9f3b5a3f8e",
        "Schedule/1",
    ],
)
def test_unknown_slot_is_refused(reference: str) -> None:
    """A live Appointment names slots of this server."""
    error = refused(agenda := clinic(), agenda.post(appointment(reference), "1"))
    assert isinstance(error, BusinessRule)
    assert (error.details, error.expression) == ("slot-unknown", ("Appointment.slot[0]",))


@pytest.mark.parametrize("element", [{"identifier": {"value": "1"}}, {"display": "nine"}])
def test_logical_slot_reference_is_refused(element: dict[str, Any]) -> None:
    """An identifier is not enough to take a Slot."""
    agenda = clinic()
    asked = appointment() | {"slot": [element]}
    assert refused(agenda, agenda.post(asked, "1")).details == "slot-unknown"


def test_deleted_slot_is_unknown() -> None:
    """It cannot be booked any more."""
    agenda = clinic()
    agenda.write(agenda.delete("Slot/1"))
    error = refused(agenda, agenda.post(appointment("Slot/1"), "1"))
    assert error.details == "slot-unknown"


def test_slot_entered_in_error_is_unknown() -> None:
    """It never existed."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", status="entered-in-error"))
    error = refused(agenda, agenda.post(appointment("Slot/1"), "1"))
    assert (status_of(error), error.details) == (422, "slot-unknown")


@pytest.mark.parametrize("status", ["proposed", "cancelled", "waitlist", "entered-in-error"])
def test_slots_of_an_appointment_that_occupies_nothing_may_be_anything(status: str) -> None:
    """Only a claim is checked."""
    agenda = clinic()
    book(agenda, "https://elsewhere.org/fhir/Slot/1", "Slot/none", status=status)
    assert agenda.cells == {}


@pytest.mark.parametrize(
    ("slots", "start", "end"),
    [
        (["Slot/1"], 59, 90),
        (["Slot/1"], 60, 91),
        (["Slot/1"], 0, 30),
        (["Slot/1", "Slot/3"], 60, 150),
        (["Slot/2"], 60, 90),
    ],
)
def test_time_outside_the_slots_is_refused(slots: Sequence[str], start: int, end: int) -> None:
    """The union of the slots covers the Appointment, without a gap."""
    agenda = clinic()
    error = refused(agenda, agenda.post(appointment(*slots, start=start, end=end), "1"))
    assert isinstance(error, BusinessRule)
    assert error.details == "time-outside-slot"


@pytest.mark.parametrize(
    ("slots", "start", "end"),
    [
        (["Slot/1"], 65, 70),
        (["Slot/1"], 60, 60),
        (["Slot/2", "Slot/1"], 60, 120),
        (["Slot/5", "Slot/1"], 60, 90),
        (["Slot/1", "Slot/3"], 60, 90),
    ],
)
def test_time_within_the_slots_is_accepted(slots: Sequence[str], start: int, end: int) -> None:
    """Shorter than its slots, or over several that adjoin."""
    agenda = clinic()
    book(agenda, *slots, start=start, end=end)
    assert_consistent(agenda)


def test_moving_the_time_out_of_a_held_slot_is_refused() -> None:
    """An update is judged like a create."""
    agenda = clinic()
    book(agenda, "Slot/1")
    error = refused(agenda, agenda.put("Appointment/1", start=at(90), end=at(120)))
    assert error.details == "time-outside-slot"


def test_start_after_end_is_refused() -> None:
    """Time runs forward."""
    agenda = clinic()
    error = refused(agenda, agenda.post(appointment("Slot/1", start=80, end=70), "1"))
    assert (error.details, error.expression) == ("start-after-end", ("Appointment.start",))


def test_held_slots_need_a_time() -> None:
    """A booking without start and end is refused, whatever let it through before."""
    agenda = clinic()
    error = refused(agenda, agenda.post(appointment("Slot/1", start=None), "1"))
    assert error.details == "time-outside-slot"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("busy", "slot-taken"),
        ("busy-tentative", "slot-taken"),
        ("busy-unavailable", "slot-blocked"),
    ],
)
def test_slot_that_is_not_free_is_refused(status: str, reason: str) -> None:
    """A Slot that says itself that it is busy or closed is not to be had."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", status=status))
    error = refused(agenda, agenda.post(appointment("Slot/1"), "1"))
    assert isinstance(error, SlotTaken)
    assert error.details == reason


def test_block_refuses_new_bookings_below_it() -> None:
    """Leave closes the free slots of its time."""
    agenda = clinic()
    agenda.write(agenda.post(slot(0, 100, "busy-unavailable"), "leave"))
    assert refused(agenda, agenda.post(appointment("Slot/1"), "1")).details == "slot-blocked"
    book(agenda, "Slot/3", start=120, end=150, logical_id="2")


def test_a_holder_is_named_before_a_block() -> None:
    """Where both stand in the way, the time is taken."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(agenda.post(slot(0, 240, "busy-unavailable"), "leave"))
    asked = appointment("Slot/4", start=75, end=105)
    assert refused(agenda, agenda.post(asked, "2")).details == "slot-taken"


def test_very_long_slot_cannot_be_occupied() -> None:
    """A month and more in one piece is refused with the limit."""
    agenda = clinic()
    agenda.write(agenda.post(slot(300, 300 + 30 * (MAX_CELLS + 1), schedule="Schedule/2"), "long"))
    asked = appointment("Slot/long", start=300, end=330)
    error = refused(agenda, agenda.post(asked, "1"))
    assert (error.details, status_of(error)) == ("span-too-long", 422)
    assert str(MAX_CELLS) in error.diagnostics


def test_longest_slot_is_loaded_in_two_rounds() -> None:
    """Slot, then its cells: not one by one."""
    agenda = clinic()
    agenda.write(agenda.post(slot(300, 300 + 30 * MAX_CELLS, schedule="Schedule/2"), "long"))
    plan = book(agenda, "Slot/long", start=300, end=330)
    assert (len(plan.cells), agenda.rounds) == (MAX_CELLS, 2)
    assert_consistent(agenda)


# --- the past ------------------------------------------------------------------------------------


def past_clinic() -> Agenda:
    """The clinic, two days later."""
    agenda = clinic()
    agenda.now = NOW.replace(day=NOW.day + 2)
    return agenda


@pytest.mark.parametrize(
    "asked",
    [
        appointment("Slot/none"),
        appointment("https://elsewhere.org/fhir/Slot/1"),
        appointment("Slot/1", start=0, end=30),
    ],
)
def test_past_appointment_that_does_not_fit_is_a_record(asked: dict[str, Any]) -> None:
    """History goes in as it was and occupies nothing."""
    agenda = past_clinic()
    agenda.write(agenda.post(asked, "1"))
    assert (agenda.cells, agenda.read("Slot/1")["status"]) == ({}, "free")
    agenda.write(agenda.put("Appointment/1", status="fulfilled"))
    agenda.write(agenda.put("Appointment/1", status="entered-in-error"))
    assert agenda.read("Slot/1")["status"] == "free"


@pytest.mark.parametrize("ahead", [(48 * 60 - 15, 48 * 60 + 15), (48 * 60, 48 * 60 + 30)])
def test_past_appointment_cannot_name_a_slot_that_is_not_over(ahead: tuple[int, int]) -> None:
    """It would say that it has a time that others can still book."""
    agenda = past_clinic()
    agenda.write(agenda.post(slot(*ahead), "ahead"))
    named = [appointment("Slot/ahead", start=0, end=30)]
    named.append(appointment("Slot/1", "Slot/ahead", start=0, end=30))
    for asked in named:
        assert refused(agenda, agenda.post(asked, "1")).details == "time-outside-slot"
    both = appointment("Slot/none", "Slot/ahead", start=0, end=30)
    assert status_of(refused(agenda, agenda.post(both, "1"))) == 422


def test_past_appointment_that_fits_holds_its_slot() -> None:
    """A past time is not booked twice either."""
    agenda = past_clinic()
    book(agenda, "Slot/1")
    assert agenda.read("Slot/1")["status"] == "busy"
    assert refused(agenda, agenda.post(appointment("Slot/1"), "2")).details == "slot-taken"


def test_past_appointment_keeps_its_slot_when_it_ran_over() -> None:
    """The real end of a visit does not free the time that it took."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.now = NOW.replace(day=NOW.day + 2)
    agenda.write(agenda.put("Appointment/1", status="fulfilled", end=at(100)))
    assert holders(agenda) == {"Slot/1": "Appointment/1"}
    assert_consistent(agenda)


# --- several writes at once ----------------------------------------------------------------------


def test_two_appointments_of_one_request_cannot_share_a_slot() -> None:
    """They are judged as if they came at once; both are refused."""
    agenda = clinic()
    one, two = (agenda.post(appointment("Slot/1"), logical_id) for logical_id in "12")
    error = refused(agenda, one, two)
    assert isinstance(error, Issues)
    assert {one.details for one in error.issues} == {"slot-taken"}


def test_slot_changes_hands_in_one_request() -> None:
    """One Appointment is cancelled and another takes its time, in either order."""
    for turn in (1, -1):
        agenda = clinic()
        book(agenda, "Slot/1")
        cancel = agenda.put("Appointment/1", status="cancelled")
        take = agenda.post(appointment("Slot/1"), "2")
        plan = agenda.write(*[cancel, take][::turn])
        assert holders(agenda) == {"Slot/1": "Appointment/2"}
        assert [one.type for one in plan.writes] == ["Appointment", "Appointment"]
        assert_consistent(agenda)


def test_appointments_swap_their_slots_in_one_request() -> None:
    """Each gives up what the other takes."""
    agenda = clinic()
    book(agenda, "Slot/1", logical_id="1")
    book(agenda, "Slot/2", start=90, end=120, logical_id="2")
    agenda.write(
        agenda.put("Appointment/1", appointment("Slot/2", start=90, end=120)),
        agenda.put("Appointment/2", appointment("Slot/1")),
    )
    assert holders(agenda) == {"Slot/1": "Appointment/2", "Slot/2": "Appointment/1"}
    assert_consistent(agenda)


def test_slot_kept_by_an_appointment_of_the_same_request_is_taken() -> None:
    """That the holder is written too does not make its time free."""
    agenda = clinic()
    book(agenda, "Slot/1", "Slot/2", start=60, end=120)
    keep = agenda.put("Appointment/1", appointment("Slot/1"))
    error = refused(agenda, keep, agenda.post(appointment("Slot/1"), "2"))
    assert (error.details, error.expression) == ("slot-taken", ("Appointment.slot[0]",))


def test_overlapping_time_is_given_up_and_taken_in_one_request() -> None:
    """Cancelling one makes room for the overlapping other."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(
        agenda.put("Appointment/1", status="cancelled"),
        agenda.post(appointment("Slot/4", start=75, end=105), "2"),
    )
    assert holders(agenda) == {"Slot/4": "Appointment/2"}
    assert_consistent(agenda)


@pytest.mark.parametrize("status", ["free", "busy"])
def test_slot_is_created_and_booked_in_one_request(status: str) -> None:
    """The flip goes into the Slot's own write."""
    agenda = clinic()
    new = agenda.post(slot(300, 330, status), "new")
    plan = agenda.write(new, agenda.post(appointment("Slot/new", start=300, end=330), "1"))
    assert len(plan.writes) == 2
    assert agenda.read("Slot/new")["status"] == "busy"
    assert_consistent(agenda)


@pytest.mark.parametrize("status", ["busy-tentative", "busy-unavailable", "entered-in-error"])
def test_new_slot_with_a_status_against_its_appointment_is_refused(status: str) -> None:
    """A request must not contradict itself."""
    agenda = clinic()
    new = agenda.post(slot(300, 330, status), "new")
    error = refused(agenda, new, agenda.post(appointment("Slot/new", start=300, end=330), "1"))
    assert (error.details, error.expression) == ("held-by-appointment", ("Slot.status",))


def test_slot_is_turned_busy_by_the_request_that_books_it() -> None:
    """Clients that keep Slots up to date themselves are welcome."""
    agenda = clinic()
    plan = agenda.write(
        agenda.put("Slot/1", status="busy"), agenda.post(appointment("Slot/1"), "1")
    )
    assert len(plan.writes) == 2
    assert holders(agenda) == {"Slot/1": "Appointment/1"}


def test_busy_slot_is_not_had_by_writing_it_once_more() -> None:
    """It must have been free before."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", status="busy"))
    error = refused(
        agenda, agenda.put("Slot/1", comment="mine"), agenda.post(appointment("Slot/1"), "1")
    )
    assert error.details == "slot-taken"


def test_slot_comment_and_booking_are_one_version() -> None:
    """A written Slot gets the flip in that write."""
    agenda = clinic()
    agenda.write(
        agenda.put("Slot/1", comment="bring shoes"), agenda.post(appointment("Slot/1"), "1")
    )
    found = agenda.read("Slot/1")
    assert (found["comment"], found["status"], agenda.version("Slot", "1")) == (
        "bring shoes",
        "busy",
        2,
    )


def test_cancelling_and_writing_the_slot_frees_it_once() -> None:
    """The copy of a status that the client did not change does not keep the Slot busy."""
    agenda = clinic()
    book(agenda, "Slot/1")
    plan = agenda.write(
        agenda.put("Appointment/1", status="cancelled"), agenda.put("Slot/1", comment="late")
    )
    assert len(plan.writes) == 2
    assert (agenda.read("Slot/1")["status"], agenda.cells) == ("free", {})


def test_cancelling_and_closing_the_slot() -> None:
    """The client's own new status stays when the Appointment leaves."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(
        agenda.put("Appointment/1", status="cancelled"),
        agenda.put("Slot/1", status="busy-unavailable"),
    )
    assert holders(agenda) == {"Slot/1": "Slot/1"}
    assert_consistent(agenda)


def test_cancelling_and_deleting_the_slot() -> None:
    """A Slot can go in the request that ends its Appointment."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(agenda.put("Appointment/1", status="cancelled"), agenda.delete("Slot/1"))
    assert agenda.cells == {}


def test_slot_and_its_appointment_move_together() -> None:
    """A transaction may move both; the new time must be free."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(
        agenda.put("Slot/1", start=at(300), end=at(330)),
        agenda.put("Appointment/1", start=at(300), end=at(330)),
    )
    assert holders(agenda) == {"Slot/1": "Appointment/1"}
    assert_consistent(agenda)


def test_freeing_a_slot_beside_a_write_of_its_live_appointment_is_refused() -> None:
    """Its Appointment still holds it."""
    agenda = clinic()
    book(agenda, "Slot/1")
    error = refused(
        agenda,
        agenda.put("Appointment/1", comment="moved to room 3"),
        agenda.put("Slot/1", status="free"),
    )
    assert isinstance(error, Conflict)
    assert (error.details, error.expression) == ("held-by-appointment", ("Slot.status",))


def test_cells_that_the_plan_brings_are_replaced() -> None:
    """Completing a complete plan changes nothing."""
    agenda = clinic()
    plan = agenda.decide(lambda _: Plan((agenda.post(appointment("Slot/1"), "1"),)))
    assert agenda.decide(lambda _: plan) == plan


def test_one_resource_written_twice_is_refused() -> None:
    """R4 does not allow it in a transaction."""
    agenda = clinic()
    change = agenda.put("Slot/1", comment="one")
    assert isinstance(refused(agenda, change, change), Invalid)


def test_release_survives_a_missing_slot() -> None:
    """An Appointment whose Slot is gone can still be cancelled."""
    agenda = clinic()
    book(agenda, "Slot/1")
    del agenda.resources["Slot", "1"]
    agenda.write(agenda.put("Appointment/1", status="cancelled"))


def test_busy_slot_is_refused_beside_a_cancellation() -> None:
    """Giving up one Slot does not open another."""
    agenda = clinic()
    book(agenda, "Slot/1")
    agenda.write(agenda.put("Slot/3", status="busy"))
    error = refused(
        agenda,
        agenda.put("Appointment/1", status="cancelled"),
        agenda.post(appointment("Slot/3", start=120, end=150), "2"),
    )
    assert error.details == "slot-taken"


def test_release_survives_missing_cells() -> None:
    """Time that the cells do not know can still be given back."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/1", status="busy"))
    agenda.cells.clear()
    agenda.write(agenda.put("Slot/1", status="free"))
    assert_consistent(agenda)

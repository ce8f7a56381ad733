"""$confirm, $cancel, $reschedule and $validate-booking as decisions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.outcome import status_of
from fhir_server.scheduling import lifecycle
from fhir_server.scheduling.booking import plan_confirm
from fhir_server.scheduling.cancellation import CANCELLATION_DATE, CANCELLED_BY
from fhir_server.scheduling.cancelling import plan_cancel
from fhir_server.scheduling.holding import HoldRules, plan_hold
from fhir_server.scheduling.holds import held_until
from fhir_server.scheduling.plan import Plan, View
from fhir_server.scheduling.rescheduling import NewTime, plan_reschedule
from fhir_server.scheduling.validation import Validated, plan_validation
from tests.agenda import NOW, Agenda, appointment, assert_consistent, at, clinic, holders, slot

ONE = "Appointment/1"
REASON = {"coding": [{"system": "urn:reasons", "code": "pat"}]}
RULES = HoldRules(seconds=300, per_patient=0, per_client=0)


def entered(status: str = "booked", *slots: str, **more: Any) -> Agenda:
    """The clinic with Appointment/1, in Slot/1 when nothing is said."""
    agenda = clinic()
    agenda.write(agenda.post(appointment(*(slots or ("Slot/1",)), status=status, **more), "1"))
    return agenda


def refused(agenda: Agenda, decide: Callable[[View], Plan]) -> FhirError:
    """The refusal; nothing was written."""
    before = agenda.copy()
    with pytest.raises(FhirError) as caught:
        agenda.run(decide)
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    return caught.value


def to(*slots: str, start: str | None = None, end: str | None = None) -> NewTime:
    """A new time."""
    return NewTime(tuple({"reference": one} for one in slots), start, end)


def move(agenda: Agenda, time: NewTime, comment: str | None = None) -> dict[str, Any]:
    """$reschedule; gives the Appointment."""
    agenda.run(lambda view: plan_reschedule(ONE, view, time=time, comment=comment))
    assert_consistent(agenda)
    return agenda.read(ONE)


def test_cancel_tells_why_who_and_when() -> None:
    """The slots are free; the participant who cancels has declined."""
    agenda = entered()
    by = {"reference": "Patient/1"}
    agenda.run(lambda view: plan_cancel(ONE, view, reason=REASON, by=by, comment="Ill"))
    stored = agenda.read(ONE)
    assert (stored["status"], stored["cancelationReason"], stored["comment"]) == (
        "cancelled",
        REASON,
        "Ill",
    )
    assert stored["extension"] == [
        {"url": CANCELLATION_DATE, "valueDateTime": at(0)},
        {"url": CANCELLED_BY, "valueReference": by},
    ]
    assert [one["status"] for one in stored["participant"]] == ["declined", "needs-action"]
    assert agenda.read("Slot/1")["status"] == "free"
    assert agenda.cells == {}


@pytest.mark.parametrize("status", list(lifecycle.APPOINTMENT_MOVES))
def test_cancel_is_possible_where_the_lifecycle_says_so(status: str) -> None:
    """All else is 422 `wrong-status`, a second cancellation included."""
    agenda = entered(status)
    if "cancelled" in lifecycle.APPOINTMENT_MOVES[status]:
        agenda.run(lambda view: plan_cancel(ONE, view))
        assert agenda.read(ONE)["status"] == "cancelled"
    else:
        error = refused(agenda, lambda view: plan_cancel(ONE, view))
        assert (error.details, status_of(error)) == ("wrong-status", 422)


def test_confirm_books_and_everybody_asked_has_agreed() -> None:
    """The Slot is busy, for good."""
    agenda = entered("pending")
    agenda.run(lambda view: plan_confirm(ONE, view))
    stored = agenda.read(ONE)
    assert stored["status"] == "booked"
    assert {one["status"] for one in stored["participant"]} == {"accepted"}
    assert agenda.read("Slot/1")["status"] == "busy"


@pytest.mark.parametrize("status", sorted(set(lifecycle.APPOINTMENT_MOVES) - {"pending"}))
def test_only_a_pending_appointment_is_confirmed(status: str) -> None:
    """422 `wrong-status`."""
    error = refused(entered(status), lambda view: plan_confirm(ONE, view))
    assert error.details == "wrong-status"


def test_a_past_appointment_is_not_confirmed() -> None:
    """It can only be recorded."""
    agenda = entered("pending")
    agenda.now = NOW + timedelta(hours=2)
    assert refused(agenda, lambda view: plan_confirm(ONE, view)).details == "in-the-past"


def test_reschedule_gets_the_new_time_and_gives_up_the_old_one() -> None:
    """Id and status stay, the history grows, start, end and length follow the slots."""
    agenda = entered(minutesDuration=30, created=at(-60))
    stored = move(agenda, to("Slot/2", "Slot/3"), "Later please")
    assert (stored["id"], stored["status"], agenda.version("Appointment", "1")) == (
        "1",
        "booked",
        2,
    )
    assert (stored["start"], stored["end"], stored["minutesDuration"]) == (at(90), at(150), 60)
    assert (stored["created"], stored["comment"]) == (at(-60), "Later please")
    assert agenda.read("Slot/1")["status"] == "free"
    assert holders(agenda) == {"Slot/2": ONE, "Slot/3": ONE}


def test_reschedule_within_the_slots() -> None:
    """Start and end may be told."""
    stored = move(entered(), to("Slot/2", start=at(95), end=at(110)))
    assert (stored["start"], stored["end"]) == (at(95), at(110))


def test_reschedule_onto_time_that_overlaps_the_old_one() -> None:
    """The old time does not stand in its own way."""
    stored = move(entered(), to("Slot/4"))
    assert stored["start"] == at(75)


@pytest.mark.parametrize("status", ["booked", "busy-unavailable"])
def test_without_the_new_time_the_old_one_is_kept(status: str) -> None:
    """409 with facts for alternatives, and nothing is written."""
    agenda = entered()
    if status == "booked":
        agenda.write(agenda.post(appointment("Slot/3", start=120, end=150), "2"))
    else:
        agenda.write(agenda.put("Slot/3", status=status))
    error = refused(agenda, lambda view: plan_reschedule(ONE, view, time=to("Slot/2", "Slot/3")))
    assert status_of(error) == 409
    assert agenda.read("Slot/1")["status"] == "busy"


def test_reschedule_to_another_schedule_exchanges_its_actor() -> None:
    """The one of the same type; the patient stays."""
    agenda = entered()
    agenda.write(agenda.put("Schedule/2", actor=[{"reference": "Practitioner/2"}]))
    stored = move(agenda, to("Slot/5"))
    actors = [one["actor"]["reference"] for one in stored["participant"]]
    assert actors == ["Patient/1", "Practitioner/2"]


def test_a_hold_that_is_moved_keeps_its_end() -> None:
    """And its owner."""
    agenda = clinic()
    wanted = appointment("Slot/1", status="proposed", start=None)
    agenda.run(lambda view: plan_hold(wanted, view, "1", RULES))
    end = held_until(agenda.read(ONE))
    agenda.now += timedelta(minutes=1)
    stored = move(agenda, to("Slot/2"))
    assert (stored["status"], held_until(stored)) == ("pending", end)
    agenda.client = "other"
    decide = lambda view: plan_reschedule(ONE, view, time=to("Slot/3"))  # noqa: E731
    assert refused(agenda, decide).details == "held"


@pytest.mark.parametrize("status", ["proposed", "waitlist", "arrived", "fulfilled", "cancelled"])
def test_what_cannot_be_rescheduled(status: str) -> None:
    """422 `wrong-status`."""
    error = refused(entered(status), lambda view: plan_reschedule(ONE, view, time=to("Slot/2")))
    assert error.details == "wrong-status"


@pytest.mark.parametrize(
    ("time", "code"),
    [
        (to(), "slot-required"),
        (to("Slot/none"), "slot-unknown"),
        (to("Slot/2", start=at(60), end=at(90)), "time-outside-slot"),
        (to("Slot/9"), "in-the-past"),
    ],
)
def test_where_it_cannot_go(time: NewTime, code: str) -> None:
    """422 with the reason."""
    agenda = entered()
    agenda.write(agenda.post(slot(-60, -30), "9"))
    error = refused(agenda, lambda view: plan_reschedule(ONE, view, time=time))
    assert (error.details, status_of(error)) == (code, 422)


def found(agenda: Agenda, source: Any) -> list[tuple[str | None, tuple[str, ...]]]:
    """The refusals that $validate-booking tells; nothing was written."""
    before = agenda.copy()
    plan = agenda.run(lambda view: plan_validation(source, view, "9"))
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    assert isinstance(plan.result, Validated)
    return [(one.details, one.expression) for one in plan.result.refused]


def test_validation_of_what_could_be_booked_finds_nothing() -> None:
    """New or stored."""
    agenda = entered("proposed", "Slot/2", start=90, end=120)
    assert found(agenda, appointment("Slot/1", status="proposed", start=None)) == []
    assert found(agenda, ONE) == []


def test_validation_tells_all_conflicts_at_once() -> None:
    """Of every Slot, and of time that overlaps another booking."""
    agenda = entered()
    agenda.write(agenda.put("Slot/3", status="busy-unavailable"))
    asked = appointment("Slot/1", "Slot/4", "Slot/3", "Slot/none", status="proposed", start=60,
                        end=150)  # fmt: skip
    told = found(agenda, asked)
    assert ("slot-taken", ("Appointment.slot[0]",)) in told
    assert ("slot-taken", ("Appointment.slot[1]",)) in told
    assert ("slot-blocked", ("Appointment.slot[2]",)) in told
    assert ("slot-unknown", ("Appointment.slot[3]",)) in told


def test_validation_tells_of_the_past_and_of_slots_together() -> None:
    """A time that has begun does not hide the rest."""
    agenda = entered()
    agenda.now = NOW + timedelta(minutes=70)
    told = found(agenda, appointment("Slot/1", status="proposed"))
    assert {code for code, _ in told} == {"in-the-past", "slot-taken"}


def test_validation_of_a_wrong_status_and_of_nothing() -> None:
    """What makes all else pointless is told alone."""
    agenda = entered()
    assert [code for code, _ in found(agenda, ONE)] == ["wrong-status"]
    assert [code for code, _ in found(agenda, "Appointment/none")] == ["appointment-unknown"]


def test_validation_sees_a_lapsed_hold_as_free() -> None:
    """And a live one as taken, for everybody else."""
    agenda = clinic()
    wanted = appointment("Slot/1", status="proposed", start=None)
    agenda.run(lambda view: plan_hold(wanted, view, "1", RULES))
    assert [code for code, _ in found(agenda, wanted)] == ["slot-taken"]
    assert found(agenda, ONE) == []
    agenda.client = "other"
    assert [code for code, _ in found(agenda, ONE)] == ["held"]
    agenda.now += timedelta(minutes=5)
    assert found(agenda, wanted) == []

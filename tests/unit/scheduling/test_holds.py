"""Holds: they last exactly as long as they say, for exactly one client."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from fhir_server.fhir.errors import Conflict, FhirError
from fhir_server.fhir.outcome import status_of
from fhir_server.scheduling.booking import plan_book
from fhir_server.scheduling.cancellation import CANCELLATION_DATE
from fhir_server.scheduling.holding import HoldRules, plan_hold
from fhir_server.scheduling.holds import HELD_UNTIL, plan_lapse
from fhir_server.scheduling.plan import Plan, View
from tests.agenda import (
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

RULES = HoldRules(seconds=300, per_patient=3, per_client=0)
END = at(5)


def hold(agenda: Agenda, source: Any, logical_id: str = "1", rules: HoldRules = RULES) -> Plan:
    """$hold."""
    return agenda.run(lambda view: plan_hold(source, view, logical_id, rules))


def holding(source: Any, logical_id: str, view: View) -> Plan:
    """The decision of $hold."""
    return plan_hold(source, view, logical_id, RULES)


def proposal(*slots: str, patient: str = "Patient/1") -> dict[str, Any]:
    """An Appointment to hold."""
    wanted = appointment(*slots, status="proposed", start=None)
    wanted["participant"][0]["actor"]["reference"] = patient
    return wanted


def held(*slots: str) -> Agenda:
    """The clinic with Appointment/1 held by client `portal`."""
    agenda = clinic()
    hold(agenda, proposal(*(slots or ("Slot/1",))))
    return agenda


def refused(agenda: Agenda, decide: Callable[[View], Plan]) -> FhirError:
    """The refusal; nothing was written."""
    before = agenda.copy()
    with pytest.raises(FhirError) as caught:
        agenda.run(decide)
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    return caught.value


def until(agenda: Agenda, reference: str = "Appointment/1") -> str | None:
    """What `held-until` says."""
    extensions = agenda.read(reference).get("extension", [])
    found = [one["valueInstant"] for one in extensions if one["url"] == HELD_UNTIL]
    assert len(found) < 2
    return found[0] if found else None


def after(agenda: Agenda, **passed: float) -> Agenda:
    """The agenda, that much later than `NOW`."""
    agenda.now = NOW + timedelta(**passed)
    return agenda


def test_a_hold_is_a_pending_appointment_with_an_end() -> None:
    """The Slot is busy-tentative, the extension and the cells tell the same end."""
    agenda = held("Slot/1", "Slot/2")
    stored = agenda.read("Appointment/1")
    assert (stored["status"], stored["start"], stored["end"]) == ("pending", at(60), at(120))
    assert until(agenda) == END
    assert agenda.read("Slot/1")["status"] == agenda.read("Slot/2")["status"] == "busy-tentative"
    for _, entry in entries(agenda):
        assert (entry.owner, entry.kind) == ("portal", "tentative")
    assert_consistent(agenda)


def test_until_its_end_nobody_else_gets_the_time() -> None:
    """Neither by another hold, nor by create, nor through an overlapping Slot; to the instant."""
    agenda = after(held(), minutes=5, milliseconds=-1)
    agenda.client = "other"
    for wanted in (proposal("Slot/1"), proposal("Slot/4")):
        error = refused(agenda, partial(holding, wanted, "2"))
        assert error.details == "slot-taken"
    write = agenda.post(appointment("Slot/1"), "2")
    assert refused(agenda, lambda _: Plan((write,))).details == "slot-taken"


@pytest.mark.parametrize("way", ["hold", "book", "create", "overlap", "busy slot", "longer"])
def test_from_its_end_on_anybody_takes_the_time_in_one_write(way: str) -> None:
    """The lapsed Appointment is cancelled in the same write, its other slots are freed."""
    agenda = after(held("Slot/1", "Slot/2"), minutes=5)
    agenda.client = "other"
    if way == "hold":
        hold(agenda, proposal("Slot/1"), "2")
    elif way == "book":
        agenda.run(lambda view: plan_book(proposal("Slot/1"), view, "2"))
    elif way == "create":
        agenda.write(agenda.post(appointment("Slot/1"), "2"))
    elif way == "overlap":
        agenda.write(agenda.post(appointment("Slot/4", start=75, end=105), "2"))
    elif way == "longer":
        agenda.write(agenda.post(appointment("Slot/2", "Slot/3", start=90, end=150), "2"))
    else:
        agenda.write(agenda.post(slot(70, 80, status="busy"), "9"))
    lapsed = agenda.read("Appointment/1")
    assert lapsed["status"] == "cancelled"
    assert lapsed["cancelationReason"]["coding"][0]["code"] == "hold-lapsed"
    assert {"url": CANCELLATION_DATE, "valueDateTime": END} in lapsed["extension"]
    assert until(agenda) is None
    assert "Appointment/1" not in holders(agenda).values()
    assert_consistent(agenda)


def test_taking_over_takes_one_load_more() -> None:
    """Slot, cell, and the Appointment that is cancelled."""
    agenda = after(held(), minutes=5)
    agenda.decide(lambda view: plan_hold(proposal("Slot/1"), view, "2", RULES))
    assert agenda.rounds <= 4


@pytest.mark.parametrize("change", ["comment", "booked", "pending"])
def test_a_lapsed_hold_cannot_be_used(change: str) -> None:
    """Not even by its owner, and not even when nobody has written so yet."""
    agenda = after(held(), minutes=5)
    changes: dict[str, Any] = {"comment": "x"} if change == "comment" else {"status": change}
    write = agenda.put("Appointment/1", **changes)
    error = refused(agenda, lambda _: Plan((write,)))
    assert (error.details, status_of(error)) == ("hold-lapsed", 409)


def test_a_lapsed_hold_is_not_renewed_nor_booked() -> None:
    """409 says to hold anew."""
    agenda = after(held(), minutes=5)
    for decide in (
        lambda view: plan_hold("Appointment/1", view, "1", RULES),
        lambda view: plan_book("Appointment/1", view, "1"),
    ):
        assert refused(agenda, decide).details == "hold-lapsed"


def test_the_sweep_writes_the_lapse_once() -> None:
    """Before its end nothing, at its end the cancellation, afterwards nothing."""
    agenda = held()
    assert agenda.run(plan_lapse("1")) == Plan(result=False)
    after(agenda, minutes=5)
    agenda.client = ""
    plan = agenda.run(plan_lapse("1"))
    assert plan.result
    assert agenda.read("Appointment/1")["status"] == "cancelled"
    assert agenda.read("Slot/1")["status"] == "free"
    assert agenda.cells == {}
    assert agenda.run(plan_lapse("1")) == Plan(result=False)
    assert agenda.run(plan_lapse("none")) == Plan(result=False)


def test_the_owner_renews() -> None:
    """The same Appointment, the next version, a later end; the slots stay held."""
    agenda = after(held(), minutes=4)
    hold(agenda, "Appointment/1")
    assert (until(agenda), agenda.version("Appointment", "1")) == (at(9), 2)
    assert agenda.version("Slot", "1") == 2
    assert {entry.expires for _, entry in entries(agenda)} == {entries_end(9)}
    assert_consistent(agenda)


def entries_end(minutes: int) -> int:
    """An expiry in microseconds."""
    return int((NOW + timedelta(minutes=minutes)).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "booked"},
        {"status": "cancelled"},
        {"slot": [{"reference": "Slot/2"}], "start": at(90), "end": at(120)},
        None,
    ],
)
def test_another_client_can_neither_use_nor_release_a_hold(change: dict[str, Any] | None) -> None:
    """409 `held`, by update and by delete; other elements may change."""
    agenda = held()
    agenda.client = "other"
    write = (
        agenda.delete("Appointment/1") if change is None else agenda.put("Appointment/1", **change)
    )
    error = refused(agenda, lambda _: Plan((write,)))
    assert isinstance(error, Conflict)
    assert error.details == "held"
    assert "portal" not in error.diagnostics
    agenda.write(agenda.put("Appointment/1", comment="Call first"))
    assert until(agenda) == END


def test_another_client_neither_books_nor_renews() -> None:
    """Nor do answers of participants that would book it."""
    agenda = held()
    agenda.client = "other"
    assert refused(agenda, lambda view: plan_book("Appointment/1", view, "1")).details == "held"
    assert (
        refused(agenda, lambda view: plan_hold("Appointment/1", view, "1", RULES)).details == "held"
    )
    answer = {
        "resourceType": "AppointmentResponse",
        "appointment": {"reference": "Appointment/1"},
        "actor": {"reference": "Practitioner/1"},
        "participantStatus": "accepted",
    }
    write = agenda.post(answer, "1")
    assert refused(agenda, lambda _: Plan((write,))).details == "held"


def test_the_owner_books_and_the_end_is_gone() -> None:
    """As a whole, by operation or by update."""
    agenda = held()
    agenda.run(lambda view: plan_book("Appointment/1", view, "1"))
    assert (agenda.read("Appointment/1")["status"], until(agenda)) == ("booked", None)
    (entry,) = {entry for _, entry in entries(agenda)}
    assert (entry.kind, entry.expires, entry.owner) == ("busy", None, None)
    assert [name for name in agenda.cells if name.endswith("|holds")] == []


@pytest.mark.parametrize("way", ["cancelled", "delete"])
def test_the_owner_releases(way: str) -> None:
    """The slots are free at once, and the hold counts no more."""
    agenda = held()
    if way == "delete":
        agenda.write(agenda.delete("Appointment/1"))
    else:
        agenda.write(agenda.put("Appointment/1", status=way))
        assert until(agenda) is None
    assert agenda.read("Slot/1")["status"] == "free"
    assert agenda.cells == {}


def test_the_owner_moves_a_hold_by_update() -> None:
    """Its end stays."""
    agenda = after(held(), minutes=1)
    change: dict[str, Any] = {
        "slot": [{"reference": "Slot/3"}],
        "start": at(120),
        "end": at(150),
    }
    agenda.write(agenda.put("Appointment/1", **change))
    assert until(agenda) == END
    assert {entry.expires for _, entry in entries(agenda)} == {entries_end(5)}
    assert_consistent(agenda)


def test_clients_cannot_set_the_end() -> None:
    """What they send for `held-until` is replaced by what is so."""
    agenda = held()
    forged = [{"url": HELD_UNTIL, "valueInstant": at(9_000)}, {"url": "urn:x", "valueCode": "y"}]
    agenda.write(agenda.put("Appointment/1", extension=forged))
    assert until(agenda) == END
    assert {"url": "urn:x", "valueCode": "y"} in agenda.read("Appointment/1")["extension"]
    agenda.write(
        agenda.post(
            appointment("Slot/2", start=90, end=120, status="pending", extension=forged), "2"
        )
    )
    assert until(agenda, "Appointment/2") is None
    after(agenda, days=20)
    assert agenda.run(plan_lapse("2")) == Plan(result=False)


def test_a_request_without_an_end_gets_none() -> None:
    """Otherwise anybody could make somebody else's request lapse."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status="pending"), "1"))
    error = refused(agenda, lambda view: plan_hold("Appointment/1", view, "1", RULES))
    assert (error.details, status_of(error)) == ("wrong-status", 422)


def test_a_patient_has_a_limited_number_of_holds() -> None:
    """One more is 409; a release, a booking or a lapse makes room, a renewal needs none."""
    agenda = clinic()
    rules = HoldRules(seconds=300, per_patient=2, per_client=0)
    hold(agenda, proposal("Slot/1"), "1", rules)
    hold(agenda, proposal("Slot/2"), "2", rules)
    hold(agenda, "Appointment/2", rules=rules)
    more = proposal("Slot/3")
    error = refused(agenda, lambda view: plan_hold(more, view, "3", rules))
    assert (error.details, status_of(error)) == ("hold-limit", 409)
    hold(agenda, proposal("Slot/3", patient="Patient/2"), "4", rules)
    agenda.write(agenda.put("Appointment/4", status="cancelled"))
    agenda.run(lambda view: plan_book("Appointment/1", view, "1"))
    hold(agenda, proposal("Slot/3"), "5", rules)
    after(agenda, minutes=5)
    hold(agenda, proposal("Slot/2"), "6", rules)
    assert_consistent(agenda)


def test_a_client_has_a_limited_number_of_holds() -> None:
    """Over all patients; another client has its own."""
    agenda = clinic()
    rules = HoldRules(seconds=300, per_patient=0, per_client=1)
    hold(agenda, proposal("Slot/1"), "1", rules)
    more = proposal("Slot/2", patient="Patient/2")
    assert refused(agenda, lambda view: plan_hold(more, view, "2", rules)).details == "hold-limit"
    agenda.client = "other"
    hold(agenda, more, "2", rules)
    agenda.client = "portal"
    agenda.write(agenda.put("Appointment/1", status="cancelled"))
    hold(agenda, proposal("Slot/3"), "3", rules)


def test_two_holds_at_the_same_moment_do_not_both_become_the_last() -> None:
    """They write the same ledger, so one of them is decided again."""
    agenda = clinic()
    rules = HoldRules(seconds=300, per_patient=1, per_client=0)
    one = agenda.decide(lambda view: plan_hold(proposal("Slot/1"), view, "1", rules))
    two = agenda.decide(lambda view: plan_hold(proposal("Slot/2"), view, "2", rules))
    assert {cell.id for cell in one.cells} & {cell.id for cell in two.cells} == {"Patient/1|holds"}


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (proposal(), "slot-required"),
        (proposal("Slot/none"), "slot-unknown"),
        ({**proposal("Slot/1"), "status": "booked"}, "wrong-status"),
        ("Appointment/none", "appointment-unknown"),
        ({**proposal("Slot/1"), "start": at(-30), "end": at(-1)}, "in-the-past"),
        ({**proposal("Slot/1"), "start": at(10), "end": at(20)}, "time-outside-slot"),
    ],
)
def test_what_cannot_be_held(source: Any, code: str) -> None:
    """422 with the reason."""
    error = refused(clinic(), lambda view: plan_hold(source, view, "1", RULES))
    assert (error.details, status_of(error)) == (code, 422)

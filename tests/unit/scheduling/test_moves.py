"""Which changes of Appointments and Slots are legal."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fhir_server.fhir.errors import BusinessRule, FhirError, Issues
from fhir_server.fhir.outcome import status_of
from fhir_server.scheduling import lifecycle
from tests.agenda import Agenda, appointment, assert_consistent, at, clinic

CHECKOUT = Path(__file__).parents[3]
PAGE = CHECKOUT / "docs/explanation/lifecycle.md"
APPOINTMENT = list(lifecycle.APPOINTMENT_MOVES)
SLOT = list(lifecycle.SLOT_MOVES)


def refused(agenda: Agenda, reference: str, **changes: Any) -> FhirError:
    """The refusal of a change by plain update; nothing was written."""
    before = agenda.copy()
    with pytest.raises(FhirError) as caught:
        agenda.write(agenda.put(reference, **changes))
    assert (agenda.resources, agenda.cells) == (before.resources, before.cells)
    return caught.value


def entered(status: str) -> Agenda:
    """The clinic with Appointment/1 of that status in Slot/1."""
    agenda = clinic()
    agenda.write(agenda.post(appointment("Slot/1", status=status), "1"))
    return agenda


@pytest.mark.parametrize(("before", "after"), list(itertools.product(APPOINTMENT, APPOINTMENT)))
def test_every_move_of_an_appointment(before: str, after: str) -> None:
    """What the table allows is written; all else is 422 and names what may follow."""
    agenda = entered(before)
    if lifecycle.may_follow("Appointment", before, after):
        agenda.write(agenda.put("Appointment/1", status=after))
        assert agenda.read("Appointment/1")["status"] == after
        assert_consistent(agenda)
        return
    error = refused(agenda, "Appointment/1", status=after)
    assert isinstance(error, BusinessRule)
    assert (error.details, error.expression) == ("wrong-status", ("Appointment.status",))
    assert status_of(error) == 422
    for allowed in lifecycle.APPOINTMENT_MOVES[before]:
        assert allowed in error.diagnostics


@pytest.mark.parametrize(("before", "after"), list(itertools.product(SLOT, SLOT)))
def test_every_move_of_a_slot_that_nobody_holds(before: str, after: str) -> None:
    """The same for Slots."""
    agenda = clinic()
    agenda.write(agenda.put("Slot/3", status=before))
    if lifecycle.may_follow("Slot", before, after):
        agenda.write(agenda.put("Slot/3", status=after))
        assert_consistent(agenda)
        return
    error = refused(agenda, "Slot/3", status=after)
    assert (error.details, error.expression) == ("wrong-status", ("Slot.status",))


@pytest.mark.parametrize("status", APPOINTMENT)
def test_a_new_appointment_may_have_any_status(status: str) -> None:
    """Records of other systems come in as they are, created or put at an id of their own."""
    agenda = clinic()
    agenda.write(agenda.put("Appointment/1", appointment("Slot/1", status=status)))
    agenda.write(agenda.delete("Appointment/1"))
    agenda.write(agenda.put("Appointment/1", appointment("Slot/1", status=status)))
    assert_consistent(agenda)


def codes_of(value_set: str) -> set[str]:
    """The codes of one of R4's value sets."""
    read = json.loads((CHECKOUT / f"profiles/ValueSet-{value_set}.json").read_text())
    return {one["code"] for part in read["compose"]["include"] for one in part["concept"]}


def test_tables_know_every_status_that_r4_has() -> None:
    """So that no legal resource meets a gap."""
    assert set(lifecycle.APPOINTMENT_MOVES) == codes_of("appointmentstatus")
    assert set(lifecycle.SLOT_MOVES) == codes_of("slotstatus")
    for table in lifecycle.MOVES.values():
        assert all(set(after) < set(table) for after in table.values())


def test_the_page_shows_the_tables() -> None:
    """`docs/explanation/lifecycle.md` and the code say the same."""
    tables: dict[str, dict[str, tuple[str, ...]]] = {"Appointment": {}, "Slot": {}}
    current = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            current = line.removeprefix("## ").split()[0]
        elif line.startswith("| `") and current in tables:
            _, before, after, *_ = line.split("|")
            tables[current][before.strip().strip("`")] = tuple(re.findall(r"`([a-z-]+)`", after))
    assert tables == lifecycle.MOVES


@pytest.mark.parametrize("status", sorted(lifecycle.ENDED_STATUSES))
def test_what_has_ended_keeps_its_time_slots_and_actors(status: str) -> None:
    """Every changed element is named; other elements may still be added."""
    agenda = entered(status)
    participant = [{"actor": {"reference": "Patient/2"}, "status": "accepted"}]
    error = refused(
        agenda,
        "Appointment/1",
        start=at(61),
        slot=[{"reference": "Slot/2"}],
        participant=participant,
    )
    assert error.details == "ended"
    assert error.expression == ("Appointment.start", "Appointment.slot", "Appointment.participant")
    same = at(60).replace("Z", "+00:00")
    agenda.write(agenda.put("Appointment/1", comment="Paid", start=same))
    assert agenda.read("Appointment/1")["comment"] == "Paid"


def test_slots_of_a_booked_appointment_move_in_one_write() -> None:
    """Plain PUT is a checked path: new slots and times that fit each other."""
    agenda = entered("booked")
    agenda.write(
        agenda.put("Appointment/1", slot=[{"reference": "Slot/3"}], start=at(120), end=at(150))
    )
    assert agenda.read("Slot/1")["status"] == "free"
    assert agenda.read("Slot/3")["status"] == "busy"
    assert refused(agenda, "Appointment/1", start=at(60), end=at(90)).details == "time-outside-slot"


def person(reference: str, status: str = "accepted") -> dict[str, Any]:
    """A participant."""
    return {"actor": {"reference": reference}, "status": status}


@pytest.mark.parametrize("status", sorted(lifecycle.AGREED_STATUSES))
def test_a_booked_patient_is_not_exchanged(status: str) -> None:
    """Somebody else cannot take over a booking; one of a group may leave it."""
    agenda = entered(status)
    swapped = [person("Patient/2"), person("Practitioner/1")]
    error = refused(agenda, "Appointment/1", participant=swapped)
    assert (error.details, error.expression) == (
        "participant-fixed",
        ("Appointment.participant",),
    )
    group = [person("Patient/1"), person("Patient/2"), person("Practitioner/1")]
    agenda.write(agenda.put("Appointment/1", participant=group))
    agenda.write(agenda.put("Appointment/1", participant=swapped))
    assert agenda.read("Appointment/1")["participant"] == swapped


def test_whose_time_is_held_takes_part() -> None:
    """The Schedule's actor leaves only together with its Slot."""
    agenda = entered("booked")
    agenda.write(agenda.put("Schedule/2", actor=[{"reference": "Practitioner/2"}]))
    other = [person("Patient/1"), person("Practitioner/2")]
    error = refused(agenda, "Appointment/1", participant=other)
    assert error.details == "participant-fixed"
    assert "Practitioner/1" in error.diagnostics
    agenda.write(agenda.put("Appointment/1", participant=other, slot=[{"reference": "Slot/5"}]))
    assert agenda.read("Slot/1")["status"] == "free"


def test_participants_without_slots_may_change() -> None:
    """An Appointment that holds nobody's time is the affair of whoever keeps it."""
    agenda = clinic()
    agenda.write(agenda.post(appointment(), "1"))
    agenda.write(
        agenda.put("Appointment/1", participant=[person("Patient/1"), person("Practitioner/9")])
    )


def test_all_wrong_moves_are_told_at_once() -> None:
    """Of every resource in the request."""
    agenda = entered("cancelled")
    agenda.write(agenda.put("Slot/3", status="entered-in-error"))
    with pytest.raises(Issues) as caught:
        agenda.write(
            agenda.put("Appointment/1", status="booked"), agenda.put("Slot/3", status="free")
        )
    assert [one.expression for one in caught.value.issues] == [
        ("Appointment.status",),
        ("Slot.status",),
    ]

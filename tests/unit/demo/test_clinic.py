"""The demo clinic."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fhir_server.definitions.loader import load
from fhir_server.definitions.structure_definition import validate
from fhir_server.demo.clinic import Clinic, make_clinic
from fhir_server.demo.people import TIME_ZONE

WEEKDAY = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
AROUND_DST = datetime(2026, 10, 28, 12, 0, tzinfo=UTC)
STATUSES = {
    "proposed", "pending", "booked", "arrived", "fulfilled", "cancelled", "noshow",
    "entered-in-error", "checked-in", "waitlist",
}  # fmt: skip


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    """The clinic of a weekday."""
    return make_clinic(1, WEEKDAY)


def test_same_seed_and_day_give_the_same_clinic(clinic: Clinic) -> None:
    """Another seed gives other people."""
    assert make_clinic(1, WEEKDAY) == clinic
    assert make_clinic(2, WEEKDAY).of_type("Patient") != clinic.of_type("Patient")


def test_it_has_the_size_it_is_said_to_have(clinic: Clinic) -> None:
    """One organization, two sites with two rooms each, six practitioners, 200 patients."""
    counts = Counter(resource["resourceType"] for resource in clinic.resources)
    del counts["Appointment"]
    assert counts == {
        "Organization": 1,
        "Location": 6,
        "Practitioner": 6,
        "PractitionerRole": 6,
        "HealthcareService": 6,
        "Patient": 200,
        "Schedule": 6,
        "Slot": 6 * 20 * 14,
    }


@pytest.mark.parametrize("now", [WEEKDAY, SUNDAY, AROUND_DST])
def test_every_status_occurs(now: datetime) -> None:
    """On a day without visits too."""
    visits = make_clinic(1, now).of_type("Appointment")
    assert {visit["status"] for visit in visits} == STATUSES


def test_every_resource_is_legal_and_has_its_own_id(clinic: Clinic) -> None:
    """R4's rules and ours hold for all of them."""
    registry = load()
    for resource in clinic.resources:
        validate(registry, resource)
    keys = {(resource["resourceType"], resource["id"]) for resource in clinic.resources}
    assert len(keys) == len(clinic.resources)


def test_nobody_is_in_two_places_at_once(clinic: Clinic) -> None:
    """A patient has one visit at a time, a slot one visit."""
    visits = [visit for visit in clinic.of_type("Appointment") if "start" in visit]
    people = Counter(
        (visit["participant"][0]["actor"]["reference"], visit["start"]) for visit in visits
    )
    slots = Counter(visit["slot"][0]["reference"] for visit in visits)
    assert set(people.values()) == {1}
    assert set(slots.values()) == {1}


def test_nine_o_clock_stays_nine_o_clock_across_a_change_of_the_clocks() -> None:
    """The first slot of each day is at nine by the wall, and at another instant afterwards."""
    zone = ZoneInfo(TIME_ZONE)
    slots = make_clinic(1, AROUND_DST).of_type("Slot")
    starts = [datetime.fromisoformat(slot["start"]).astimezone(zone) for slot in slots]
    days: dict[object, datetime] = {}
    for start in sorted(starts):
        days.setdefault(start.date(), start)
    assert {(start.hour, start.minute) for start in days.values()} == {(9, 0)}
    assert {start.utcoffset() for start in days.values()} == {
        timedelta(hours=-4),
        timedelta(hours=-5),
    }


def test_people_speak_two_languages_and_can_be_reached(clinic: Clinic) -> None:
    """Patients have a language, a time zone and a telephone; most have e-mail."""
    patients = clinic.of_type("Patient")
    languages = Counter(
        patient["communication"][0]["language"]["coding"][0]["code"] for patient in patients
    )
    assert set(languages) == {"en", "es"}
    assert all(patient["extension"][0]["valueCode"] for patient in patients)
    assert all(patient["telecom"][0]["system"] == "phone" for patient in patients)
    assert sum(len(patient["telecom"]) == 2 for patient in patients) > 100

"""The resources that the harness writes, and the calendar they follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

BASE = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)
"""The first slot of every schedule: a Monday."""

SLOT_MINUTES = 15
SLOTS_PER_DAY = 40
_BUSY_EVERY = 4


def iso(instant: datetime) -> str:
    """An instant in UTC, as FHIR writes it."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def slot_start(k: int) -> datetime:
    """When the k-th slot of a schedule starts."""
    day, turn = divmod(k, SLOTS_PER_DAY)
    return BASE + timedelta(days=day, minutes=SLOT_MINUTES * turn)


def slot_status(k: int) -> str:
    """The status of the k-th slot of a schedule: every fourth is busy."""
    return "busy" if k % _BUSY_EVERY == _BUSY_EVERY - 1 else "free"


def appointment_start(patient: int, j: int) -> datetime:
    """When the j-th appointment of a patient, by position in the manifest, starts."""
    return BASE + timedelta(
        days=3 * j + patient % 3, minutes=SLOT_MINUTES * (patient % SLOTS_PER_DAY)
    )


def make_schedule(practitioner: str, **extra: Any) -> Json:
    """A year of a practitioner."""
    return {
        "resourceType": "Schedule",
        "active": True,
        "actor": [{"reference": f"Practitioner/{practitioner}"}],
        "planningHorizon": {"start": iso(BASE), "end": iso(BASE + timedelta(days=365))},
        **extra,
    }


def make_slot(schedule: str, start: datetime, status: str = "free", **extra: Any) -> Json:
    """A quarter of an hour of a schedule."""
    return {
        "resourceType": "Slot",
        "schedule": {"reference": f"Schedule/{schedule}"},
        "status": status,
        "start": iso(start),
        "end": iso(start + timedelta(minutes=SLOT_MINUTES)),
        **extra,
    }


def make_appointment(
    patient: str,
    practitioner: str,
    location: str,
    start: datetime,
    slot: str | None = None,
    **extra: Any,
) -> Json:
    """A booked quarter of an hour of three participants."""
    appointment = {
        "resourceType": "Appointment",
        "status": "booked",
        "start": iso(start),
        "end": iso(start + timedelta(minutes=SLOT_MINUTES)),
        "participant": [
            {"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"},
            {"actor": {"reference": f"Practitioner/{practitioner}"}, "status": "accepted"},
            {"actor": {"reference": f"Location/{location}"}, "status": "accepted"},
        ],
        **extra,
    }
    if slot:
        appointment["slot"] = [{"reference": f"Slot/{slot}"}]
    return appointment


def make_practitioner(n: int) -> Json:
    """The n-th practitioner."""
    return {
        "resourceType": "Practitioner",
        "active": True,
        "name": [{"family": f"Doctor{n:03d}", "given": ["Load"]}],
    }


def make_location(n: int) -> Json:
    """The n-th room."""
    return {"resourceType": "Location", "status": "active", "name": f"Room {n}"}


def make_patient(n: int) -> Json:
    """The n-th patient."""
    return {
        "resourceType": "Patient",
        "active": True,
        "birthDate": f"19{50 + n % 50}-01-{1 + n % 28:02d}",
        "name": [{"family": f"Patient{n:04d}", "given": ["Load"]}],
    }

"""The demo clinic: one organization, two locations, six practitioners, four weeks of time.

Everything follows from a seed and the day it is made: the same two give the same resources, with
the same ids, so that loading it again changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from fhir_server.demo import people
from fhir_server.fhir.types import Json, Resource

WEEKS = 4
PATIENTS = 200
PRACTITIONERS = 6
ROOMS_PER_SITE = 2
SLOT_MINUTES = 30
OPENS, CLOSES, LUNCH = time(9, 0), time(17, 0), time(12, 0)
APPOINTMENT_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0276"
CANCEL_REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
AHEAD = ("booked", "booked", "booked", "pending", "cancelled")
BEHIND = ("fulfilled", "fulfilled", "noshow", "cancelled", "entered-in-error")
TODAY = ("arrived", "checked-in")


@dataclass(frozen=True, slots=True)
class Clinic:
    """What the demo clinic consists of, in the order in which it can be loaded."""

    resources: tuple[Resource, ...]

    def of_type(self, resource_type: str) -> list[Resource]:
        """The resources of one type."""
        return [r for r in self.resources if r["resourceType"] == resource_type]


def make_clinic(seed: int, now: datetime) -> Clinic:
    """The whole clinic; its four weeks begin on the Monday of last week.

    Args:
        seed: decides names, dates of birth and who visits whom.
        now: the present, aware; only its day in the clinic's zone and the hour of visits matter.
    """
    random = Random(f"visits {seed}")
    zone = ZoneInfo(people.TIME_ZONE)
    today = now.astimezone(zone).date()
    first = today - timedelta(days=today.weekday() + 7)
    staff = people.practitioners(seed, PRACTITIONERS)
    patients = people.patients(seed, PATIENTS)
    slots = [slot for n in range(1, PRACTITIONERS + 1) for slot in _slots(n, first, zone)]
    visits = list(_appointments(random, slots, patients, now))
    return Clinic(
        (
            *_places(),
            *staff,
            *patients,
            *(r for n in range(1, PRACTITIONERS + 1) for r in _services(n)),
            *(_schedule(n, first, zone) for n in range(1, PRACTITIONERS + 1)),
            *slots,
            *visits,
        )
    )


def _site(number: int) -> str:
    return "north" if number % 2 else "south"


def _places() -> Iterator[Resource]:
    yield {
        "resourceType": "Organization",
        "id": "demo-clinic",
        "active": True,
        "name": "Springfield Clinic",
        "telecom": [{"system": "phone", "value": "+1-555-0100", "use": "work"}],
    }
    for site, latitude in (("north", 42.66), ("south", 42.63)):
        yield {
            "resourceType": "Location",
            "id": f"demo-{site}",
            "extension": [people.zone(people.TIME_ZONE)],
            "status": "active",
            "name": f"Springfield Clinic {site.title()}",
            "mode": "instance",
            "position": {"longitude": -73.76, "latitude": latitude},
            "managingOrganization": {"reference": "Organization/demo-clinic"},
        }
        for room in range(1, ROOMS_PER_SITE + 1):
            yield {
                "resourceType": "Location",
                "id": f"demo-{site}-room-{room}",
                "status": "active",
                "name": f"Room {room}, {site.title()}",
                "mode": "instance",
                "physicalType": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/location-physical-type",
                            "code": "ro",
                            "display": "Room",
                        }
                    ]
                },
                "partOf": {"reference": f"Location/demo-{site}"},
            }


def _services(number: int) -> Iterator[Resource]:
    location = {"reference": f"Location/demo-{_site(number)}"}
    organization = {"reference": "Organization/demo-clinic"}
    _, display = people.SPECIALTIES[number - 1]
    yield {
        "resourceType": "HealthcareService",
        "id": f"demo-service-{number}",
        "active": True,
        "providedBy": organization,
        "specialty": [people.specialty(number - 1)],
        "location": [location],
        "name": display,
    }
    yield {
        "resourceType": "PractitionerRole",
        "id": f"demo-role-{number}",
        "active": True,
        "practitioner": {"reference": f"Practitioner/demo-practitioner-{number}"},
        "organization": organization,
        "specialty": [people.specialty(number - 1)],
        "location": [location],
        "healthcareService": [{"reference": f"HealthcareService/demo-service-{number}"}],
    }


def _schedule(number: int, first: date, zone: ZoneInfo) -> Resource:
    return {
        "resourceType": "Schedule",
        "id": f"demo-schedule-{number}",
        "extension": [people.zone(people.TIME_ZONE)],
        "active": True,
        "specialty": [people.specialty(number - 1)],
        "actor": [{"reference": f"Practitioner/demo-practitioner-{number}"}],
        "planningHorizon": {
            "start": _instant(first, time(0), zone),
            "end": _instant(first + timedelta(weeks=WEEKS), time(0), zone),
        },
    }


def _instant(day: date, at: time, zone: ZoneInfo) -> str:
    """A local wall time as an instant in UTC: nine o'clock stays nine o'clock across DST."""
    return _utc(datetime.combine(day, at, zone))


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _slots(number: int, first: date, zone: ZoneInfo) -> Iterator[Resource]:
    length = timedelta(minutes=SLOT_MINUTES)
    for offset in range(7 * WEEKS):
        day = first + timedelta(days=offset)
        if day.weekday() >= 5:
            continue
        wall = datetime.combine(day, OPENS)
        while wall.time() < CLOSES:
            if wall.hour != LUNCH.hour:
                yield {
                    "resourceType": "Slot",
                    "id": f"demo-slot-{number}-{wall:%Y%m%d-%H%M}",
                    "specialty": [people.specialty(number - 1)],
                    "schedule": {"reference": f"Schedule/demo-schedule-{number}"},
                    "status": "free",
                    "start": _utc(wall.replace(tzinfo=zone)),
                    "end": _utc((wall + length).replace(tzinfo=zone)),
                }
            wall += length


def _appointments(
    random: Random, slots: list[Resource], patients: list[Resource], now: datetime
) -> Iterator[Resource]:
    """About one slot in eight is taken, and every status of R4 occurs."""
    starts = [datetime.fromisoformat(slot["start"]) for slot in slots]
    open_day = max(start.date() for start in starts if start.date() <= now.date())
    turn = {AHEAD: 0, BEHIND: 0, TODAY: 0}
    engaged: set[tuple[str, str]] = set()
    for slot, start in zip(slots, starts, strict=True):
        if random.random() > 0.125:
            continue
        patient = random.choice([p for p in patients if (p["id"], slot["start"]) not in engaged])
        engaged.add((patient["id"], slot["start"]))
        choices = TODAY if start.date() == open_day else BEHIND if start < now else AHEAD
        status = choices[turn[choices] % len(choices)]
        turn[choices] += 1
        yield _appointment(slot, patient, status)
    yield from _without_time(patients, now)


def _appointment(slot: Resource, patient: Resource, status: str) -> Resource:
    number = slot["schedule"]["reference"].rsplit("-", 1)[1]
    accepted = "accepted" if status != "pending" else "needs-action"
    made: Resource = {
        "resourceType": "Appointment",
        "id": slot["id"].replace("demo-slot", "demo-visit"),
        "status": status,
        "specialty": slot["specialty"],
        "appointmentType": _coding(APPOINTMENT_TYPES, "ROUTINE"),
        "start": slot["start"],
        "end": slot["end"],
        "minutesDuration": SLOT_MINUTES,
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "participant": [
            _participant(f"Patient/{patient['id']}", "accepted"),
            _participant(f"Practitioner/demo-practitioner-{number}", accepted),
            _participant(f"Location/demo-{_site(int(number))}", "accepted"),
        ],
    }
    if status in ("cancelled", "noshow"):
        made["cancelationReason"] = _coding(CANCEL_REASONS, "pat")
    return made


def _without_time(patients: list[Resource], now: datetime) -> Iterator[Resource]:
    """A request nobody has answered yet, and two patients who wait for an earlier time."""
    week = {
        "start": f"{now.date()}",
        "end": f"{now.date() + timedelta(days=7)}",
    }
    for number, status in enumerate(("proposed", "waitlist", "waitlist")):
        yield {
            "resourceType": "Appointment",
            "id": f"demo-request-{number + 1}",
            "status": status,
            "specialty": [people.specialty(number)],
            "requestedPeriod": [week],
            "participant": [
                _participant(f"Patient/{patients[number]['id']}", "accepted"),
                _participant(f"Practitioner/demo-practitioner-{number + 1}", "needs-action"),
            ],
        }


def _participant(reference: str, status: str) -> Json:
    return {"actor": {"reference": reference}, "required": "required", "status": status}


def _coding(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}

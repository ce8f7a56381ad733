"""How Medplum's operations book: times are proposed, and the operation makes the Slot."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from benchmarks.booking import FIRST_DAY, LIVE, Strategy, Target, outcome_of, search_all
from benchmarks.dataset import Manifest
from benchmarks.http import Client, Connection, Response
from benchmarks.resources import BASE, SLOT_MINUTES, Json, make_appointment, make_slot

_STEP = timedelta(minutes=60)
_BATCH = 100
_EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_TAKEN = b"Requested time slot is not available"


class MedplumBook(Strategy):
    """Appointment/$book: the slot is proposed, not stored; the operation makes a busy Slot."""

    name = "medplum-book"

    def __init__(self, client: Client, manifest: Manifest) -> None:
        super().__init__(client, manifest)
        self.service_type: list[Json] = []

    async def prepare(self, count: int) -> None:
        """Makes a service with times at every quarter of an hour, and schedules that offer it."""
        services = await search_all(self.client, "HealthcareService?_count=100")
        code = f"race-{self.name}-{len(services)}"
        coding = {"coding": [{"system": "https://example.org/fhirload", "code": code}]}
        made = await self.client.expect(201, "POST", "HealthcareService", _service(code, coding))
        extension = {
            "url": "https://medplum.com/fhir/service-type-reference",
            "valueReference": {"reference": f"HealthcareService/{made.json()['id']}"},
        }
        self.service_type = [{**coding, "extension": [extension]}]
        self.targets = [
            Target(schedule, BASE + FIRST_DAY + k * _STEP)
            for schedule in await self.make_schedules(_BATCH, serviceType=self.service_type)
            for k in range(self.per_schedule(count))
        ]

    def proposed(self, target: Target) -> Json:
        """The Slot that does not exist yet."""
        return make_slot(target.schedule, target.start, serviceType=self.service_type)

    async def attempt(
        self, connection: Connection, target: Target, who: int
    ) -> tuple[str, Response]:
        """Books the proposed slot for a patient."""
        patient = {"reference": f"Patient/{self.patient(who)}"}
        parameters = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "slot", "resource": self.proposed(target)},
                {"name": "patient-reference", "valueReference": patient},
            ],
        }
        answer = await connection.request("POST", "Appointment/$book", parameters)
        return outcome_of(answer), answer

    async def audit(self) -> list[int]:
        """Counts busy slots at each time, and appointments on them where there are more."""
        busy: Counter[tuple[str, datetime]] = Counter()
        for schedule in {target.schedule for target in self.targets}:
            slots = await search_all(self.client, f"Slot?schedule=Schedule/{schedule}&_count=200")
            for slot in slots:
                if slot["status"].startswith("busy"):
                    holders = await search_all(
                        self.client, f"Appointment?slot=Slot/{slot['id']}&_count=50"
                    )
                    live = sum(each["status"] in LIVE for each in holders)
                    busy[schedule, datetime.fromisoformat(slot["start"])] += max(1, live)
        return [busy[target.schedule, target.start] for target in self.targets]


class MedplumHold(MedplumBook):
    """Appointment/$hold: a proposed Appointment with contained Slots, kept pending."""

    name = "medplum-hold"

    async def attempt(
        self, connection: Connection, target: Target, who: int
    ) -> tuple[str, Response]:
        """Holds the proposed slot for a patient."""
        appointment = make_appointment(
            self.patient(who),
            self.manifest["practitioners"][0],
            self.manifest["locations"][0],
            target.start,
            serviceType=self.service_type,
            contained=[{**self.proposed(target), "status": "busy"}],
        )
        proposed = {**appointment, "status": "proposed"}
        parameters = {
            "resourceType": "Parameters",
            "parameter": [{"name": "appointment", "resource": proposed}],
        }
        answer = await connection.request("POST", "Appointment/$hold", parameters)
        if answer.status == 400 and _TAKEN in answer.body:
            return "lost", answer  # a refusal, though with the status of a malformed request
        return outcome_of(answer), answer


def _service(code: str, coding: Json) -> Json:
    minutes = {"valueDuration": {"value": SLOT_MINUTES, "unit": "min"}}
    return {
        "resourceType": "HealthcareService",
        "active": True,
        "name": code,
        "type": [coding],
        "availableTime": [{"daysOfWeek": _EVERY_DAY, "allDay": True}],
        "extension": [
            {
                "url": "https://medplum.com/fhir/StructureDefinition/SchedulingParameters",
                "extension": [
                    {"url": "duration", **minutes},
                    {"url": "alignmentInterval", **minutes},
                    {"url": "timezone", "valueCode": "Etc/UTC"},
                ],
            }
        ],
    }

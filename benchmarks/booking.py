"""Ways to book a slot. A strategy makes fresh targets, tries to book one, and audits what was booked.

Outcomes: "won" (the server says booked), "lost" (a clean refusal: 409 or 412, or the strategy's own
rule), anything else is an error. The audit reads the server's state, never the harness's memory.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from benchmarks.dataset import (
    BASE,
    SLOT_MINUTES,
    bulk_create,
    make_appointment,
    make_schedule,
    make_slot,
)
from benchmarks.http import Client, Connection, Response


async def search_all(client: Client, query: str) -> list[dict]:
    """Every matched resource of a search, following next links."""
    found, path = [], query
    while path:
        bundle = (await client.expect(200, "GET", path)).json()
        found += [
            e["resource"]
            for e in bundle.get("entry", [])
            if e.get("search", {}).get("mode", "match") == "match"
        ]
        following = [x["url"] for x in bundle.get("link", []) if x["relation"] == "next"]
        path = following[0] if following else None
        if path and "://" in path:
            path = "/" + path.split("://", 1)[1].split("/", 1)[1]
    return found


class Strategy:
    name = ""
    schedules = 4

    def __init__(self, client: Client, manifest: dict):
        self.client, self.manifest = client, manifest
        self.targets: list[dict] = []

    async def prepare(self, count: int): ...
    async def attempt(
        self, connection: Connection, target: dict, who: int
    ) -> tuple[str, Response]: ...
    async def audit(self) -> list[int]: ...

    def patient(self, who: int) -> str:
        spare = self.manifest["spare_patients"]
        return spare[who % len(spare)]

    @staticmethod
    def outcome(answer: Response) -> str:
        if answer.status in (200, 201):
            return "won"
        return "lost" if answer.status in (409, 412) else f"error {answer.status}"


class Transaction(Strategy):
    """Plain FHIR R4: one transaction Bundle that PUTs the Slot with ifMatch and POSTs the Appointment."""

    name = "transaction"

    async def prepare(self, count: int):
        per = count // self.schedules
        made = await bulk_create(
            self.client,
            [make_schedule(self.manifest["practitioners"][n]) for n in range(self.schedules)],
        )
        starts = [BASE + timedelta(days=100, minutes=SLOT_MINUTES * k) for k in range(per)]
        slots = [make_slot(schedule, start) for schedule, _ in made for start in starts]
        ids = await bulk_create(self.client, slots)
        self.targets = [
            {"slot": i, "version": v, "resource": {**slot, "id": i, "status": "busy"}, "n": n}
            for n, ((i, v), slot) in enumerate(zip(ids, slots))
        ]

    async def attempt(self, connection, target, who):
        appointment = make_appointment(
            self.patient(who),
            self.manifest["practitioners"][0],
            self.manifest["locations"][0],
            datetime.fromisoformat(target["resource"]["start"]),
            target["slot"],
            description=f"race {who}",
        )
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "resource": target["resource"],
                    "request": {
                        "method": "PUT",
                        "url": f"Slot/{target['slot']}",
                        "ifMatch": f'W/"{target["version"]}"',
                    },
                },
                {"resource": appointment, "request": {"method": "POST", "url": "Appointment"}},
            ],
        }
        answer = await connection.request("POST", "", bundle)
        outcome = self.outcome(answer)
        if outcome == "won":
            statuses = [e["response"]["status"][:3] for e in answer.json()["entry"]]
            if statuses != ["200", "201"]:
                outcome = f"error entries {statuses}"
        return outcome, answer

    async def audit(self):
        bookings = []
        for target in self.targets:
            appointments = await search_all(
                self.client, f"Appointment?slot=Slot/{target['slot']}&_count=50"
            )
            slot = (await self.client.expect(200, "GET", f"Slot/{target['slot']}")).json()
            live = [a for a in appointments if a["status"] in ("booked", "pending")]
            target["consistent"] = (slot["status"] == "busy") == bool(live)
            bookings.append(len(live))
        return bookings


class MedplumBook(Strategy):
    """Medplum's Appointment/$book: the slot is proposed, not stored; the operation makes a busy Slot."""

    name = "medplum-book"
    step = timedelta(minutes=60)

    async def prepare(self, count: int):
        code = (
            f"race-{self.name}-{len(await search_all(self.client, 'HealthcareService?_count=100'))}"
        )
        self.service_type = [{"coding": [{"system": "https://example.org/fhirload", "code": code}]}]
        duration = lambda v: {"valueDuration": {"value": v, "unit": "min"}}
        service = (
            await self.client.expect(
                201,
                "POST",
                "HealthcareService",
                {
                    "resourceType": "HealthcareService",
                    "active": True,
                    "name": code,
                    "type": self.service_type,
                    "availableTime": [
                        {
                            "daysOfWeek": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                            "allDay": True,
                        }
                    ],
                    "extension": [
                        {
                            "url": "https://medplum.com/fhir/StructureDefinition/SchedulingParameters",
                            "extension": [
                                {"url": "duration", **duration(SLOT_MINUTES)},
                                {"url": "alignmentInterval", **duration(SLOT_MINUTES)},
                                {"url": "timezone", "valueCode": "Etc/UTC"},
                            ],
                        }
                    ],
                },
            )
        ).json()
        self.service_type[0]["extension"] = [
            {
                "url": "https://medplum.com/fhir/service-type-reference",
                "valueReference": {"reference": f"HealthcareService/{service['id']}"},
            }
        ]
        made = await bulk_create(
            self.client,
            [
                make_schedule(self.manifest["practitioners"][n], serviceType=self.service_type)
                for n in range(self.schedules)
            ],
        )
        per = count // self.schedules
        self.targets = [
            {"schedule": schedule, "start": BASE + timedelta(days=100) + k * self.step}
            for schedule, _ in made
            for k in range(per)
        ]

    def proposed(self, target) -> dict:
        return make_slot(target["schedule"], target["start"], serviceType=self.service_type)

    async def attempt(self, connection, target, who):
        answer = await connection.request(
            "POST",
            "Appointment/$book",
            {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": "slot", "resource": self.proposed(target)},
                    {
                        "name": "patient-reference",
                        "valueReference": {"reference": f"Patient/{self.patient(who)}"},
                    },
                ],
            },
        )
        return self.outcome(answer), answer

    async def audit(self):
        bookings = []
        for schedule in dict.fromkeys(t["schedule"] for t in self.targets):
            slots = await search_all(self.client, f"Slot?schedule=Schedule/{schedule}&_count=200")
            busy = Counter()
            for slot in slots:
                if slot["status"].startswith("busy"):
                    holders = await search_all(
                        self.client, f"Appointment?slot=Slot/{slot['id']}&_count=50"
                    )
                    live = [a for a in holders if a["status"] in ("booked", "pending")]
                    busy[datetime.fromisoformat(slot["start"])] += max(1, len(live))
            for target in self.targets:
                if target["schedule"] == schedule:
                    bookings.append(busy[target["start"]])
        return bookings


class MedplumHold(MedplumBook):
    """Medplum's Appointment/$hold: a proposed Appointment with contained Slots, kept pending."""

    name = "medplum-hold"

    async def attempt(self, connection, target, who):
        slot = {**self.proposed(target), "status": "busy"}
        appointment = make_appointment(
            self.patient(who),
            self.manifest["practitioners"][0],
            self.manifest["locations"][0],
            target["start"],
            serviceType=self.service_type,
        )
        answer = await connection.request(
            "POST",
            "Appointment/$hold",
            {
                "resourceType": "Parameters",
                "parameter": [
                    {
                        "name": "appointment",
                        "resource": {**appointment, "status": "proposed", "contained": [slot]},
                    }
                ],
            },
        )
        outcome = self.outcome(answer)
        if answer.status == 400 and b"Requested time slot is not available" in answer.body:
            outcome = "lost"  # a refusal, though with the status of a malformed request
        return outcome, answer


class PlainCreate(Strategy):
    """POST Appointment with a reference to the slot: the server itself must keep it exclusive."""

    name = "post"

    async def prepare(self, count: int):
        per = count // self.schedules
        made = await bulk_create(
            self.client,
            [make_schedule(self.manifest["practitioners"][n]) for n in range(self.schedules)],
            batch=0,
        )
        starts = [BASE + timedelta(days=100, minutes=SLOT_MINUTES * k) for k in range(per)]
        slots = [make_slot(schedule, start) for schedule, _ in made for start in starts]
        ids = await bulk_create(self.client, slots, batch=0)
        self.targets = [
            {"slot": i, "start": datetime.fromisoformat(slot["start"])}
            for (i, _), slot in zip(ids, slots)
        ]

    def appointment(self, target, who) -> dict:
        return make_appointment(
            self.patient(who),
            self.manifest["practitioners"][0],
            self.manifest["locations"][0],
            target["start"],
            target["slot"],
            description=f"race {who}",
        )

    async def attempt(self, connection, target, who):
        answer = await connection.request("POST", "Appointment", self.appointment(target, who))
        return self.outcome(answer), answer

    audit = Transaction.audit


class Book(PlainCreate):
    """Appointment/$book with a proposed Appointment (the IHE parameter name)."""

    name = "book"

    async def attempt(self, connection, target, who):
        proposed = {**self.appointment(target, who), "status": "proposed"}
        answer = await connection.request(
            "POST",
            "Appointment/$book",
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "appointment-resource", "resource": proposed}],
            },
        )
        return self.outcome(answer), answer


STRATEGIES = {s.name: s for s in (PlainCreate, Book, Transaction, MedplumBook, MedplumHold)}

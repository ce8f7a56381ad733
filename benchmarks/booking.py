"""Ways to book a slot: each makes fresh targets, tries to book one, audits what was booked.

Outcomes: "won" (the server says booked), "lost" (a clean refusal: 409 or 412, or the strategy's own
rule), anything else is an error. The audit reads the server's state, never the harness's memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from benchmarks.dataset import Identity, Manifest, bulk_create
from benchmarks.http import Client, Connection, Response
from benchmarks.resources import (
    BASE,
    SLOT_MINUTES,
    Json,
    make_appointment,
    make_schedule,
    make_slot,
)

FIRST_DAY = timedelta(days=100)
"""From the data set's first day to that of the hot slots."""

LIVE = ("booked", "pending")


@dataclass(slots=True)
class Target:
    """A time that many want.

    Attributes:
        slot: the stored Slot's id; empty where slots are proposed and not stored.
        version: the Slot's version when it was made, where the server told it.
        consistent: by the audit: whether Slot and Appointment tell the same.
    """

    schedule: str
    start: datetime
    slot: str = ""
    version: str | None = None
    consistent: bool = True


class Strategy(ABC):
    """A way to book.

    Attributes:
        schedules: over how many schedules the targets are spread.
    """

    name: ClassVar[str]
    schedules: ClassVar[int] = 4

    def __init__(self, client: Client, manifest: Manifest) -> None:
        self.client, self.manifest = client, manifest
        self.targets: list[Target] = []

    @abstractmethod
    async def prepare(self, count: int) -> None:
        """Makes about so many targets."""

    @abstractmethod
    async def attempt(
        self, connection: Connection, target: Target, who: int
    ) -> tuple[str, Response]:
        """One rival's attempt to book a target: the outcome and the answer."""

    @abstractmethod
    async def audit(self) -> list[int]:
        """How many live bookings each target has; notes whether it is consistent."""

    def patient(self, who: int) -> str:
        """Whom a rival books for."""
        spare = self.manifest["spare_patients"]
        return spare[who % len(spare)]

    async def make_schedules(self, batch: int = 0, **extra: object) -> list[str]:
        """New schedules, so that no earlier race is in the way."""
        people = self.manifest["practitioners"]
        wanted = [make_schedule(people[n % len(people)], **extra) for n in range(self.schedules)]
        return [made for made, _ in await bulk_create(self.client, wanted, batch)]

    def per_schedule(self, count: int) -> int:
        """How many targets each schedule gets."""
        return max(1, count // self.schedules)


def outcome_of(answer: Response) -> str:
    """Won, lost, or an error with its status."""
    if answer.status in (200, 201):
        return "won"
    return "lost" if answer.status in (409, 412) else f"error {answer.status}"


async def search_all(client: Client, query: str) -> list[Json]:
    """Every matched resource of a search, following next links."""
    found: list[Json] = []
    path: str | None = query
    while path:
        bundle = (await client.expect(200, "GET", path)).json()
        found += [
            entry["resource"]
            for entry in bundle.get("entry", [])
            if entry.get("search", {}).get("mode", "match") == "match"
        ]
        following = [x["url"] for x in bundle.get("link", []) if x["relation"] == "next"]
        path = following[0] if following else None
        if path and "://" in path:
            path = "/" + path.split("://", 1)[1].split("/", 1)[1]
    return found


class StoredSlots(Strategy):
    """Targets are stored free Slots, which Appointments refer to."""

    batch: ClassVar[int] = 0

    async def prepare(self, count: int) -> None:
        """Makes free slots, one after the other, in new schedules."""
        starts = [
            BASE + FIRST_DAY + timedelta(minutes=SLOT_MINUTES * k)
            for k in range(self.per_schedule(count))
        ]
        wanted = [
            (schedule, start)
            for schedule in await self.make_schedules(self.batch)
            for start in starts
        ]
        slots = [make_slot(schedule, start) for schedule, start in wanted]
        made: list[Identity] = await bulk_create(self.client, slots, self.batch)
        self.targets = [
            Target(schedule, start, slot, version)
            for (schedule, start), (slot, version) in zip(wanted, made, strict=True)
        ]

    def appointment(self, target: Target, who: int) -> Json:
        """What a rival wants to have."""
        return make_appointment(
            self.patient(who),
            self.manifest["practitioners"][0],
            self.manifest["locations"][0],
            target.start,
            target.slot,
            description=f"race {who}",
        )

    async def audit(self) -> list[int]:
        """Counts the live appointments on each slot; it must be busy if there are any."""
        bookings = []
        for target in self.targets:
            appointments = await search_all(
                self.client, f"Appointment?slot=Slot/{target.slot}&_count=50"
            )
            slot = (await self.client.expect(200, "GET", f"Slot/{target.slot}")).json()
            live = sum(each["status"] in LIVE for each in appointments)
            target.consistent = (slot["status"] == "busy") == (live > 0)
            bookings.append(live)
        return bookings


class PlainCreate(StoredSlots):
    """POST Appointment with a reference to the slot: the server itself must keep it exclusive."""

    name = "post"

    async def attempt(
        self, connection: Connection, target: Target, who: int
    ) -> tuple[str, Response]:
        """Creates a booked appointment."""
        answer = await connection.request("POST", "Appointment", self.appointment(target, who))
        return outcome_of(answer), answer


class Book(StoredSlots):
    """Appointment/$book with a proposed Appointment (the IHE parameter name)."""

    name = "book"

    async def attempt(
        self, connection: Connection, target: Target, who: int
    ) -> tuple[str, Response]:
        """Asks the server to book a proposed appointment."""
        proposed = {**self.appointment(target, who), "status": "proposed"}
        parameters = {
            "resourceType": "Parameters",
            "parameter": [{"name": "appointment-resource", "resource": proposed}],
        }
        answer = await connection.request("POST", "Appointment/$book", parameters)
        return outcome_of(answer), answer


class Transaction(StoredSlots):
    """Plain R4: a transaction Bundle that PUTs the Slot with ifMatch and POSTs the Appointment."""

    name = "transaction"
    batch = 100

    async def attempt(
        self, connection: Connection, target: Target, who: int
    ) -> tuple[str, Response]:
        """Turns the slot busy if nobody did, and creates the appointment with it."""
        slot = {**make_slot(target.schedule, target.start, "busy"), "id": target.slot}
        put = {
            "method": "PUT",
            "url": f"Slot/{target.slot}",
            "ifMatch": f'W/"{target.version}"',
        }
        post = {"method": "POST", "url": "Appointment"}
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {"resource": slot, "request": put},
                {"resource": self.appointment(target, who), "request": post},
            ],
        }
        answer = await connection.request("POST", "", bundle)
        outcome = outcome_of(answer)
        if outcome == "won":
            statuses = [e["response"]["status"][:3] for e in answer.json()["entry"]]
            if statuses != ["200", "201"]:
                outcome = f"error entries {statuses}"
        return outcome, answer

"""The data set: deterministic, made through the server's own API, described by a manifest.

Every expected answer of W1-W3 is computed from the manifest, so a wrong count,
a missing slot or somebody else's appointment is an error, not a fast answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from benchmarks.http import Client, Connection, Response
from benchmarks.resources import (
    SLOTS_PER_DAY,
    Json,
    appointment_start,
    make_appointment,
    make_location,
    make_patient,
    make_practitioner,
    make_schedule,
    make_slot,
    slot_start,
    slot_status,
)

LOCATIONS = 10
SPARE_PATIENTS = 60
PATIENT_PAGE = 20
"""`_count` of W3's searches, which must find everything on one page."""

Identity = tuple[str, str | None]
"""A created resource's id, and its version id where the server told it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything the data set has.

    Attributes:
        slots: altogether, spread evenly over the schedules; at least two days for each.
        update_slots: slots that only W5 touches, four for each of its workers.

    Raises:
        ValueError: the workloads could not check their answers with such a data set.
    """

    schedules: int = 50
    slots: int = 20_000
    patients: int = 500
    per_patient: int = 10
    update_slots: int = 512

    def __post_init__(self) -> None:
        """Refuses what could not be checked."""
        if min(self.schedules, self.patients, self.per_patient, self.update_slots) < 1:
            raise ValueError("every size must be at least 1")
        if self.slots_per_schedule < 2 * SLOTS_PER_DAY:
            raise ValueError(f"each schedule needs at least {2 * SLOTS_PER_DAY} slots")
        if self.per_patient > PATIENT_PAGE:
            raise ValueError(f"a patient has at most {PATIENT_PAGE} appointments")

    @property
    def slots_per_schedule(self) -> int:
        """What is left over is not made."""
        return self.slots // self.schedules


class Timing(TypedDict):
    """How long a part of the data set took to make."""

    count: int
    seconds: float
    per_s: float


class Manifest(TypedDict):
    """The ids of everything in the data set; positions tell what belongs to what.

    The j-th appointment of the p-th patient is `appointments[p * per_patient + j]`;
    `slots[s][k]` is the k-th slot of the s-th schedule.
    """

    base: str
    practitioners: list[str]
    locations: list[str]
    patients: list[str]
    spare_patients: list[str]
    schedules: list[str]
    slots: list[list[str]]
    update_slots: list[list[str | None]]
    appointments: list[str]
    per_patient: int
    timing: dict[str, Timing]


async def bulk_create(
    client: Client, resources: list[Json], batch: int = 0, parallel: int = 32
) -> list[Identity]:
    """Creates resources and answers what they became, in their order.

    Args:
        batch: entries of a batch Bundle; 0 sends single POSTs.
        parallel: how many connections.

    Raises:
        RuntimeError: the server did not create one of them.
    """
    results: list[Identity] = [("", None)] * len(resources)
    step = batch or 1
    spans = iter(range(0, len(resources), step))

    async def worker() -> None:
        connection = client.connection()
        for at in spans:
            part = resources[at : at + step]
            made = await (_create_batch if batch else _create)(connection, part)
            results[at : at + step] = made
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(parallel, len(resources))):
            group.create_task(worker())
    return results


async def _create(connection: Connection, part: list[Json]) -> list[Identity]:
    answer = await connection.request("POST", part[0]["resourceType"], part[0])
    if answer.status != 201:
        raise RuntimeError(f"create failed: {answer.brief()}")
    return [identity(answer.headers.get("location"), _body(answer))]


async def _create_batch(connection: Connection, part: list[Json]) -> list[Identity]:
    entries = [
        {"resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
        for each in part
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = await connection.request("POST", "", bundle)
    if answer.status != 200:
        raise RuntimeError(f"batch failed: {answer.brief()}")
    made = []
    for entry in answer.json()["entry"]:
        response = entry["response"]
        if not response["status"].startswith("201"):
            raise RuntimeError(f"batch entry failed: {entry}")
        made.append(identity(response.get("location"), entry.get("resource")))
    return made


def _body(answer: Response) -> Json | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def identity(location: str | None, resource: Json | None) -> Identity:
    """A created resource's id and version, from its body, else from its Location.

    Raises:
        ValueError: neither tells.
    """
    if resource and resource.get("id"):
        return resource["id"], resource.get("meta", {}).get("versionId")
    if not location:
        raise ValueError("a create was answered with neither Location nor body")
    parts = location.rstrip("/").split("/")
    if "_history" in parts:
        at = parts.index("_history")
        return parts[at - 1], parts[at + 1]
    return parts[-1], None


class _Seeding:
    """Makes one part after the other and notes how long each took."""

    def __init__(self, client: Client, batch: int) -> None:
        self._client, self._batch = client, batch
        self.timing: dict[str, Timing] = {}

    async def make(self, label: str, resources: list[Json]) -> list[Identity]:
        began = time.perf_counter()
        made = await bulk_create(self._client, resources, self._batch)
        seconds = time.perf_counter() - began
        self.timing[label] = {
            "count": len(resources),
            "seconds": round(seconds, 2),
            "per_s": round(len(resources) / seconds, 1),
        }
        print(f"  {label}: {len(resources)} in {seconds:.1f} s", flush=True)
        return made

    async def ids(self, label: str, resources: list[Json]) -> list[str]:
        return [made for made, _ in await self.make(label, resources)]


async def seed(client: Client, sizes: Sizes | None = None, batch: int = 0) -> Manifest:
    """Makes the whole data set and answers its manifest.

    Raises:
        RuntimeError: the server did not create a resource (in an ExceptionGroup).
    """
    size, seeding = sizes or Sizes(), _Seeding(client, batch)
    practitioners = await seeding.ids(
        "Practitioner", [make_practitioner(n) for n in range(size.schedules)]
    )
    locations = await seeding.ids("Location", [make_location(n) for n in range(LOCATIONS)])
    people = await seeding.ids(
        "Patient", [make_patient(n) for n in range(size.patients + SPARE_PATIENTS)]
    )
    *schedules, updated = await seeding.ids(
        "Schedule", [make_schedule(each) for each in [*practitioners, practitioners[0]]]
    )
    per_schedule = size.slots_per_schedule
    slots = await seeding.ids(
        "Slot",
        [
            make_slot(schedule, slot_start(k), slot_status(k))
            for schedule in schedules
            for k in range(per_schedule)
        ],
    )
    update_slots = await seeding.make(
        "Slot (W5)", [make_slot(updated, slot_start(k)) for k in range(size.update_slots)]
    )
    appointments = await seeding.ids(
        "Appointment",
        [
            make_appointment(
                people[p],
                practitioners[p % size.schedules],
                locations[p % LOCATIONS],
                appointment_start(p, j),
                description=f"seed {p}/{j}",
            )
            for p in range(size.patients)
            for j in range(size.per_patient)
        ],
    )
    return {
        "base": client.base,
        "practitioners": practitioners,
        "locations": locations,
        "patients": people[: size.patients],
        "spare_patients": people[size.patients :],
        "schedules": schedules,
        "slots": [slots[s * per_schedule : (s + 1) * per_schedule] for s in range(size.schedules)],
        "update_slots": [list(pair) for pair in update_slots],
        "appointments": appointments,
        "per_patient": size.per_patient,
        "timing": seeding.timing,
    }


def load(path: Path) -> Manifest:
    """The manifest that `seed` wrote."""
    manifest: Any = json.loads(path.read_text("utf-8"))
    return manifest  # type: ignore[no-any-return]

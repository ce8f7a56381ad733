"""The data set: deterministic, made through the server's own API, described by a manifest.

Every expected answer of W1-W3 is computed from the manifest, so a wrong count,
a missing slot or somebody else's appointment is an error, not a fast answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta, timezone

from benchmarks.http import Client

BASE = datetime(2027, 1, 4, 8, 0, tzinfo=timezone.utc)  # a Monday
SLOT_MINUTES, SLOTS_PER_DAY = 15, 40


def iso(t: datetime) -> str:
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


def slot_start(k: int) -> datetime:
    day, i = divmod(k, SLOTS_PER_DAY)
    return BASE + timedelta(days=day, minutes=SLOT_MINUTES * i)


def slot_status(k: int) -> str:
    return "busy" if k % 4 == 3 else "free"


def make_slot(schedule: str, start: datetime, status: str = "free", **extra) -> dict:
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
    **extra,
) -> dict:
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


def make_schedule(practitioner: str, **extra) -> dict:
    return {
        "resourceType": "Schedule",
        "active": True,
        "actor": [{"reference": f"Practitioner/{practitioner}"}],
        "planningHorizon": {"start": iso(BASE), "end": iso(BASE + timedelta(days=365))},
        **extra,
    }


async def bulk_create(
    client: Client, resources: list[dict], batch: int = 100, parallel: int = 16
) -> list[tuple[str, str]]:
    """Creates resources in order; answers (id, versionId) for each. batch=0 sends single POSTs."""
    results: list = [None] * len(resources)
    step = batch or 1
    spans = iter(range(0, len(resources), step))

    async def worker():
        connection = client.connection()
        for at in spans:
            part = resources[at : at + step]
            if not batch:
                answer = await connection.request("POST", part[0]["resourceType"], part[0])
                if answer.status != 201:
                    raise RuntimeError(f"create failed: {answer.brief()}")
                results[at] = _identity(answer.headers.get("location"), _body(answer))
                continue
            bundle = {
                "resourceType": "Bundle",
                "type": "batch",
                "entry": [
                    {"resource": r, "request": {"method": "POST", "url": r["resourceType"]}}
                    for r in part
                ],
            }
            answer = await connection.request("POST", "", bundle)
            if answer.status != 200:
                raise RuntimeError(f"batch failed: {answer.brief()}")
            for i, entry in enumerate(answer.json()["entry"]):
                if not entry["response"]["status"].startswith("201"):
                    raise RuntimeError(f"batch entry failed: {entry}")
                results[at + i] = _identity(
                    entry["response"].get("location"), entry.get("resource")
                )
        connection.close()

    await asyncio.gather(*(worker() for _ in range(parallel)))
    return results


def _body(answer):
    try:
        return answer.json()
    except Exception:
        return None


def _identity(location: str | None, resource: dict | None) -> tuple[str, str | None]:
    if resource and resource.get("id"):
        return resource["id"], resource.get("meta", {}).get("versionId")
    parts = location.rstrip("/").split("/")
    if "_history" in parts:
        at = parts.index("_history")
        return parts[at - 1], parts[at + 1]
    return parts[-1], None


async def seed(
    client: Client,
    batch: int = 0,
    schedules: int = 50,
    slots: int = 20000,
    patients: int = 500,
    per_patient: int = 10,
) -> dict:
    """Makes the whole data set and answers its manifest, with how long each part took."""
    timing: dict[str, dict] = {}

    async def make(label: str, resources: list[dict]) -> list[tuple[str, str]]:
        t0 = time.perf_counter()
        made = await bulk_create(client, resources, batch)
        seconds = time.perf_counter() - t0
        timing[label] = {
            "count": len(resources),
            "seconds": round(seconds, 2),
            "per_s": round(len(resources) / seconds, 1),
        }
        print(f"  seeded {label}: {timing[label]}", flush=True)
        return made

    practitioners = [
        i
        for i, _ in await make(
            "Practitioner",
            [
                {
                    "resourceType": "Practitioner",
                    "active": True,
                    "name": [{"family": f"Doctor{n:03d}", "given": ["Load"]}],
                }
                for n in range(schedules)
            ],
        )
    ]
    locations = [
        i
        for i, _ in await make(
            "Location",
            [
                {"resourceType": "Location", "status": "active", "name": f"Room {n}"}
                for n in range(10)
            ],
        )
    ]
    people = [
        i
        for i, _ in await make(
            "Patient",
            [
                {
                    "resourceType": "Patient",
                    "active": True,
                    "birthDate": f"19{50 + n % 50}-01-{1 + n % 28:02d}",
                    "name": [{"family": f"Patient{n:04d}", "given": ["Load"]}],
                }
                for n in range(patients + 60)
            ],
        )
    ]
    schedule_ids = [
        i
        for i, _ in await make(
            "Schedule",
            [make_schedule(practitioners[n % len(practitioners)]) for n in range(schedules + 1)],
        )
    ]
    per_schedule = slots // schedules
    made = await make(
        "Slot",
        [
            make_slot(schedule_ids[s], slot_start(k), slot_status(k))
            for s in range(schedules)
            for k in range(per_schedule)
        ],
    )
    slot_ids = [
        [i for i, _ in made[s * per_schedule : (s + 1) * per_schedule]] for s in range(schedules)
    ]
    update_slots = await make(
        "Slot (W5)", [make_slot(schedule_ids[schedules], slot_start(k)) for k in range(512)]
    )
    made = await make(
        "Appointment",
        [
            make_appointment(
                people[p],
                practitioners[p % schedules],
                locations[p % 10],
                appointment_start(p, j),
                description=f"seed {p}/{j}",
            )
            for p in range(patients)
            for j in range(per_patient)
        ],
    )
    return {
        "base": client.base,
        "practitioners": practitioners,
        "locations": locations,
        "patients": people[:patients],
        "spare_patients": people[patients:],
        "schedules": schedule_ids[:schedules],
        "slots": slot_ids,
        "update_slots": [list(pair) for pair in update_slots],
        "appointments": [i for i, _ in made],
        "per_patient": per_patient,
        "timing": timing,
    }


def appointment_start(p: int, j: int) -> datetime:
    """When the j-th appointment of the p-th patient starts."""
    return BASE + timedelta(days=3 * j + p % 3, minutes=SLOT_MINUTES * (p % SLOTS_PER_DAY))


def load(path: str) -> dict:
    with open(path) as f:
        return json.load(f)

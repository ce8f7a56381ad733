"""W1-W3: a read by id and two searches, each against what the data set says it must answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.dataset import PATIENT_PAGE, Manifest
from benchmarks.http import Connection, Response
from benchmarks.loop import Context, closed_loop
from benchmarks.resources import (
    BASE,
    SLOTS_PER_DAY,
    Json,
    appointment_start,
    iso,
    slot_start,
    slot_status,
)

SLOT_PAGE = 50
_PARTICIPANTS = 3

Judged = tuple[Response, str | None]


# ---- W1


async def w1_read_appointment(ctx: Context) -> Json:
    """Reads appointments by id."""
    ids, per = ctx.manifest["appointments"], ctx.manifest["per_patient"]
    patients = ctx.manifest["patients"]

    async def operation(connection: Connection, rng: random.Random, _: int) -> Judged:
        n = rng.randrange(len(ids))
        answer = await connection.request("GET", f"Appointment/{ids[n]}")
        return answer, judge_appointment(answer, ids[n], patients[n // per])

    return await closed_loop(ctx, operation)


def judge_appointment(answer: Response, appointment: str, patient: str) -> str | None:
    """What is wrong with the answer to a read of this appointment of this patient."""
    if answer.status != 200:
        return answer.brief()
    got = answer.json()
    if (got["resourceType"], got["id"]) != ("Appointment", appointment):
        return f"wrong resource for {appointment}"
    if len(got["participant"]) != _PARTICIPANTS:
        return f"wrong participants of {appointment}"
    if got["participant"][0]["actor"]["reference"] != f"Patient/{patient}":
        return f"wrong patient of {appointment}"
    return None


# ---- W2


@dataclass(frozen=True, slots=True)
class Window:
    """A search for free slots of one schedule, and every slot that it must find."""

    schedule: str
    low: datetime
    high: datetime
    expected: frozenset[str]

    @property
    def query(self) -> str:
        """The search, at most a page of 50."""
        return (
            f"Slot?schedule=Schedule/{self.schedule}&start=ge{iso(self.low)}"
            f"&start=lt{iso(self.high)}&status=free&_count={SLOT_PAGE}"
        )


def windows(manifest: Manifest, days: int) -> list[Window]:
    """Every window of so many whole days in every schedule."""
    found = []
    for schedule, slots in zip(manifest["schedules"], manifest["slots"], strict=True):
        for day in range(len(slots) // SLOTS_PER_DAY - days + 1):
            low = slot_start(day * SLOTS_PER_DAY).replace(hour=0)
            inside = range(day * SLOTS_PER_DAY, (day + days) * SLOTS_PER_DAY)
            expected = frozenset(slots[k] for k in inside if slot_status(k) == "free")
            found.append(Window(schedule, low, low + timedelta(days=days), expected))
    return found


async def w2_search_slots(ctx: Context) -> Json:
    """Windows of one day (30 free slots, all on the page) and two days (60, a page of 50)."""
    choices = [
        [(window.query, window) for window in windows(ctx.manifest, days)] for days in (1, 2)
    ]

    async def operation(connection: Connection, rng: random.Random, _: int) -> Judged:
        query, window = rng.choice(rng.choice(choices))
        answer = await connection.request("GET", query)
        return answer, judge_slots(answer, window)

    return await closed_loop(ctx, operation)


def judge_slots(answer: Response, window: Window) -> str | None:
    """What is wrong with the first page of a window: its slots, their content, link or total."""
    if answer.status != 200:
        return answer.brief()
    bundle, expected = answer.json(), window.expected
    got = [entry["resource"] for entry in bundle.get("entry", [])]
    ids = {each["id"] for each in got}
    page = min(SLOT_PAGE, len(expected))
    if len(ids) != len(got) or not ids <= expected or len(got) != page:
        return (
            f"expected {page} of {len(expected)} slots, got {len(got)}, "
            f"{len(ids - expected)} of them wrong"
        )
    schedule = f"Schedule/{window.schedule}"
    if any(each["status"] != "free" or each["schedule"]["reference"] != schedule for each in got):
        return "a slot of another schedule or not free"
    has_next = any(link["relation"] == "next" for link in bundle.get("link", []))
    if has_next != (len(expected) > SLOT_PAGE):
        return f"next link wrong for {len(expected)} matches"
    if bundle.get("total") not in (None, len(expected)):
        return f"total {bundle['total']}, expected {len(expected)}"
    return None


# ---- W3


def appointments_since(manifest: Manifest, patient: int, since: datetime) -> frozenset[str]:
    """The ids of a patient's appointments that start then or later."""
    per = manifest["per_patient"]
    return frozenset(
        manifest["appointments"][patient * per + j]
        for j in range(per)
        if appointment_start(patient, j) >= since
    )


async def w3_search_appointments(ctx: Context) -> Json:
    """Appointments of a patient from a date."""
    patients, per = ctx.manifest["patients"], ctx.manifest["per_patient"]

    async def operation(connection: Connection, rng: random.Random, _: int) -> Judged:
        patient = rng.randrange(len(patients))
        since = BASE.replace(hour=0) + timedelta(days=rng.randrange(3 * per))
        answer = await connection.request(
            "GET",
            f"Appointment?patient=Patient/{patients[patient]}&date=ge{iso(since)}"
            f"&_count={PATIENT_PAGE}",
        )
        expected = appointments_since(ctx.manifest, patient, since)
        return answer, judge_matches(answer, expected)

    return await closed_loop(ctx, operation)


def judge_matches(answer: Response, expected: frozenset[str]) -> str | None:
    """What is wrong with a page that must have exactly these resources."""
    if answer.status != 200:
        return answer.brief()
    got: Sequence[str] = [entry["resource"]["id"] for entry in answer.json().get("entry", [])]
    if set(got) != expected or len(got) != len(expected):
        return f"expected {len(expected)} matches, got {len(got)}, {len(set(got) - expected)} wrong"
    return None

"""W4 and W5: creates and conditional updates; afterwards the server must have them all."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta

from benchmarks.http import Connection, Response
from benchmarks.loop import Context, closed_loop
from benchmarks.resources import BASE, Json, make_appointment, make_slot

PEOPLE = 50
"""The spare patients of W4; those after them are W7's."""

READ_BACK = 100
CHECKED_SLOTS = 50
SLOTS_PER_WORKER = 4
CONTENDERS = 16
CONTENDED_TURNS = 20
_STALE = (409, 412)

Judged = tuple[Response, str | None]


# ---- W4


async def w4_create_appointment(ctx: Context) -> Json:
    """Creates appointments; a search must count them and a sample must read as it was sent."""
    manifest = ctx.manifest
    people = manifest["spare_patients"][:PEOPLE]
    before = await _count_appointments(ctx, people)
    created: list[tuple[str, Json]] = []

    async def operation(connection: Connection, rng: random.Random, _: int) -> Judged:
        body = make_appointment(
            rng.choice(people),
            rng.choice(manifest["practitioners"]),
            rng.choice(manifest["locations"]),
            BASE + timedelta(days=60, minutes=rng.randrange(10000)),
            description="W4",
        )
        answer = await connection.request("POST", "Appointment", body)
        if answer.status != 201:
            return answer, answer.brief()
        made = answer.created_id("Appointment")
        created.append((made, body))
        if answer.body and answer.json().get("id") != made:
            return answer, f"body id is not that of the Location header: {made}"
        return answer, None

    result = await closed_loop(ctx, operation)
    lost = 0
    for made, body in random.Random(ctx.seed).sample(created, min(READ_BACK, len(created))):
        answer = await ctx.client.request("GET", f"Appointment/{made}")
        got = answer.json() if answer.status == 200 else {}
        lost += any(got.get(k) != body[k] for k in ("status", "start", "end", "participant"))
    found = await _count_appointments(ctx, people) - before
    return {
        **result,
        "check": {
            "acknowledged": len(created),
            "found_by_search": found,
            "read_back_wrong_of_100": lost,
            "pass": found == len(created) and not lost,
        },
    }


async def _count_appointments(ctx: Context, people: list[str]) -> int:
    return sum([await ctx.client.count(f"Appointment?patient=Patient/{p}") for p in people])


# ---- W5


class _Updates:
    """Slots that belong to one worker each, with the newest body and version of each."""

    def __init__(self, slots: dict[str, Json], workers: int) -> None:
        self.slots = slots
        self.versions: dict[str, str | None] = {
            slot: body["meta"]["versionId"] for slot, body in slots.items()
        }
        self._owned = [list(slots)[n::workers] for n in range(workers)]
        self._turns: Counter[int] = Counter()

    async def operation(self, connection: Connection, _: random.Random, worker: int) -> Judged:
        owned = self._owned[worker]
        slot = owned[self._turns[worker] % len(owned)]
        self._turns[worker] += 1
        body = {**self.slots[slot], "comment": f"write {worker}/{self._turns[worker]}"}
        before = self.versions[slot]
        answer = await connection.request(
            "PUT", f"Slot/{slot}", body, {"if-match": f'W/"{before}"'}
        )
        if answer.status != 200:
            return answer, answer.brief()
        version = answer.version()
        self.versions[slot], self.slots[slot] = version, body
        if version is None or version == before:
            return answer, f"version did not change: {version}"
        return answer, None


async def w5_update_slot(ctx: Context) -> Json:
    """PUT with If-Match on slots no other worker touches; then stale and contended updates.

    Raises:
        ValueError: the data set has fewer slots for updates than there are workers.
    """
    first = {str(slot): version for slot, version in ctx.manifest["update_slots"]}
    if len(first) < ctx.concurrency:
        raise ValueError(f"the data set has {len(first)} slots for {ctx.concurrency} workers")
    slots: dict[str, Json] = {}
    for slot in list(first)[: ctx.concurrency * SLOTS_PER_WORKER]:
        slots[slot] = (await ctx.client.expect(200, "GET", f"Slot/{slot}")).json()
    updates = _Updates(slots, ctx.concurrency)
    result = await closed_loop(ctx, updates.operation)
    wrong = stale = 0
    for slot in list(slots)[:CHECKED_SLOTS]:
        got = (await ctx.client.expect(200, "GET", f"Slot/{slot}")).json()
        newest = (updates.versions[slot], updates.slots[slot].get("comment"))
        wrong += (got["meta"]["versionId"], got.get("comment")) != newest
        old = await ctx.client.request(
            "PUT", f"Slot/{slot}", updates.slots[slot], {"if-match": f'W/"{first[slot] or "0"}"'}
        )
        # A slot that no worker came to still has its first version.
        stale += old.status in _STALE or updates.versions[slot] == first[slot]
    contended = await _contended_counter(ctx)
    checked = min(CHECKED_SLOTS, len(slots))
    return {
        **result,
        "check": {
            "last_write_wrong_of_50": wrong,
            "stale_refused": f"{stale}/{checked}",
            "contended_counter": contended,
            "pass": not wrong
            and stale == checked
            and contended["lost_updates"] == 0
            and set(contended["statuses"]) <= {"200", "409", "412"},
        },
    }


async def _contended_counter(ctx: Context) -> Json:
    """Read-modify-write of one slot by many: the counter must equal the acknowledged increments."""
    start = BASE + timedelta(days=200)
    made = await ctx.client.expect(
        201, "POST", "Slot", make_slot(ctx.manifest["schedules"][0], start, comment="0")
    )
    path = f"Slot/{made.created_id('Slot')}"
    statuses: Counter[str] = Counter()

    async def worker() -> None:
        connection = ctx.client.connection()
        for _ in range(CONTENDED_TURNS):
            slot = (await connection.request("GET", path)).json()
            version = slot["meta"]["versionId"]
            slot["comment"] = str(int(slot["comment"]) + 1)
            answer = await connection.request("PUT", path, slot, {"if-match": f'W/"{version}"'})
            statuses[str(answer.status)] += 1
        connection.close()

    await asyncio.gather(*(worker() for _ in range(CONTENDERS)))
    final = (await ctx.client.expect(200, "GET", path)).json()
    acknowledged = statuses["200"]
    return {
        "attempts": CONTENDERS * CONTENDED_TURNS,
        "acknowledged": acknowledged,
        "final": int(final["comment"]),
        "lost_updates": acknowledged - int(final["comment"]),
        "statuses": dict(statuses),
    }

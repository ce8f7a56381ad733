"""W1-W6. Every answer is checked against what the data set says it must be."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from datetime import timedelta

from benchmarks.booking import STRATEGIES
from benchmarks.dataset import (
    BASE,
    SLOTS_PER_DAY,
    appointment_start,
    iso,
    make_appointment,
    make_slot,
    slot_start,
    slot_status,
)
from benchmarks.http import Client, Connection
from benchmarks.procs import Groups, Meter
from benchmarks.stats import Recorder, summary_ms


class Context:
    def __init__(
        self,
        client: Client,
        manifest: dict,
        groups: Groups,
        concurrency: int,
        warmup: float,
        seconds: float,
        seed: int = 1,
    ):
        self.client, self.manifest, self.groups = client, manifest, groups
        self.concurrency, self.warmup, self.seconds, self.seed = concurrency, warmup, seconds, seed


async def closed_loop(ctx: Context, operation) -> dict:
    """Runs operation(connection, rng, worker) in ctx.concurrency loops; measures after the warm-up.

    operation answers (ns, status, error or None).
    """
    recorder, meter = Recorder(), Meter(ctx.groups)
    begin = time.perf_counter() + ctx.warmup
    end = begin + ctx.seconds

    async def worker(n: int):
        connection, rng = ctx.client.connection(), random.Random(ctx.seed * 7919 + n)
        while (now := time.perf_counter()) < end:
            try:
                ns, status, error = await operation(connection, rng, n)
            except (OSError, TimeoutError, ConnectionError) as exc:
                ns, status, error = 0, type(exc).__name__, repr(exc)
            if now >= begin:
                recorder.add(ns, status, error)
        connection.close()

    async def meters():
        await asyncio.sleep(ctx.warmup)
        meter.start()
        await asyncio.sleep(ctx.seconds)
        return meter.stop()

    *_, cpu = await asyncio.gather(*(worker(n) for n in range(ctx.concurrency)), meters())
    return {
        **recorder.result(ctx.seconds),
        "concurrency": ctx.concurrency,
        "cpu_percent_of_a_core": cpu,
        "memory_mib": ctx.groups.memory_mib(),
    }


# ---- W1


async def w1_read_appointment(ctx: Context) -> dict:
    ids, per = ctx.manifest["appointments"], ctx.manifest["per_patient"]
    patients = ctx.manifest["patients"]

    async def operation(connection: Connection, rng: random.Random, _):
        n = rng.randrange(len(ids))
        answer = await connection.request("GET", f"Appointment/{ids[n]}")
        error = None
        if answer.status != 200:
            error = answer.brief()
        else:
            got = answer.json()
            if (
                (got["resourceType"], got["id"]) != ("Appointment", ids[n])
                or len(got["participant"]) != 3
                or got["participant"][0]["actor"]["reference"] != f"Patient/{patients[n // per]}"
            ):
                error = f"wrong resource for {ids[n]}"
        return answer.ns, answer.status, error

    return await closed_loop(ctx, operation)


# ---- W2


async def w2_search_slots(ctx: Context) -> dict:
    """One-day windows (30 free slots, all on the page) and two-day windows (60 free, a page of 50)."""
    schedules, slots = ctx.manifest["schedules"], ctx.manifest["slots"]
    days = len(slots[0]) // SLOTS_PER_DAY
    starts = [slot_start(d * SLOTS_PER_DAY).replace(hour=0) for d in range(days)]
    free = [
        [
            {
                slots[s][k]
                for k in range(d * SLOTS_PER_DAY, (d + 1) * SLOTS_PER_DAY)
                if slot_status(k) == "free"
            }
            for d in range(days)
        ]
        for s in range(len(schedules))
    ]

    async def operation(connection, rng, _):
        s, span = rng.randrange(len(schedules)), rng.choice((1, 2))
        d = rng.randrange(days - span + 1)
        low, high = starts[d], starts[d] + timedelta(days=span)
        answer = await connection.request(
            "GET",
            f"Slot?schedule=Schedule/{schedules[s]}&start=ge{iso(low)}&start=lt{iso(high)}&status=free&_count=50",
        )
        if answer.status != 200:
            return answer.ns, answer.status, answer.brief()
        bundle = answer.json()
        got = [e["resource"] for e in bundle.get("entry", [])]
        ids = {r["id"] for r in got}
        expected = set().union(*free[s][d : d + span])
        error = None
        if len(ids) != len(got) or not ids <= expected or len(got) != min(50, len(expected)):
            error = (
                f"expected {min(50, len(expected))} of {len(expected)} slots, got {len(got)}, "
                f"{len(ids - expected)} of them wrong"
            )
        elif any(
            r["status"] != "free" or r["schedule"]["reference"] != f"Schedule/{schedules[s]}"
            for r in got
        ):
            error = "a slot of another schedule or not free"
        elif (len(expected) > 50) != any(x["relation"] == "next" for x in bundle.get("link", [])):
            error = f"next link wrong for {len(expected)} matches"
        elif bundle.get("total") not in (None, len(expected)):
            error = f"total {bundle['total']}, expected {len(expected)}"
        return answer.ns, answer.status, error

    return await closed_loop(ctx, operation)


# ---- W3


async def w3_search_appointments(ctx: Context) -> dict:
    patients, ids, per = (
        ctx.manifest["patients"],
        ctx.manifest["appointments"],
        ctx.manifest["per_patient"],
    )

    async def operation(connection, rng, _):
        p = rng.randrange(len(patients))
        since = BASE.replace(hour=0) + timedelta(days=rng.randrange(0, 3 * per))
        answer = await connection.request(
            "GET", f"Appointment?patient=Patient/{patients[p]}&date=ge{iso(since)}&_count=20"
        )
        if answer.status != 200:
            return answer.ns, answer.status, answer.brief()
        expected = {ids[p * per + j] for j in range(per) if appointment_start(p, j) >= since}
        got = [e["resource"]["id"] for e in answer.json().get("entry", [])]
        error = (
            None
            if set(got) == expected and len(got) == len(expected)
            else f"expected {len(expected)} appointments, got {len(got)}"
        )
        return answer.ns, answer.status, error

    return await closed_loop(ctx, operation)


# ---- W4


async def w4_create_appointment(ctx: Context) -> dict:
    people, m = ctx.manifest["spare_patients"][:50], ctx.manifest
    before = await _count_appointments(ctx, people)
    created: list[tuple[str, dict]] = []

    async def operation(connection, rng, _):
        body = make_appointment(
            rng.choice(people),
            rng.choice(m["practitioners"]),
            rng.choice(m["locations"]),
            BASE + timedelta(days=60, minutes=rng.randrange(10000)),
            description="W4",
        )
        answer = await connection.request("POST", "Appointment", body)
        error = None
        if answer.status != 201:
            error = answer.brief()
        else:
            location = answer.headers.get("location", "")
            if "/Appointment/" not in location:
                error = f"no Location header: {answer.headers}"
            else:
                made = location.split("/Appointment/")[1].split("/")[0]
                created.append((made, body))
                if answer.body and answer.json().get("id") != made:
                    error = f"body id is not that of the Location header: {location}"
        return answer.ns, answer.status, error

    result = await closed_loop(ctx, operation)
    lost = 0
    for made, body in random.Random(ctx.seed).sample(created, min(100, len(created))):
        answer = await ctx.client.request("GET", f"Appointment/{made}")
        got = answer.json() if answer.status == 200 else {}
        lost += any(got.get(k) != body[k] for k in ("status", "start", "end", "participant"))
    after = await _count_appointments(ctx, people)
    return {
        **result,
        "check": {
            "acknowledged": len(created),
            "found_by_search": after - before,
            "read_back_wrong_of_100": lost,
            "pass": after - before == len(created) and not lost,
        },
    }


async def _count_appointments(ctx: Context, people: list[str]) -> int:
    return sum([await ctx.client.count(f"Appointment?patient=Patient/{p}") for p in people])


# ---- W5


async def w5_update_slot(ctx: Context) -> dict:
    """PUT with If-Match on slots no other worker touches; then stale and contended updates."""
    pairs = ctx.manifest["update_slots"]
    slots: dict[str, dict] = {}
    for i, _ in pairs[: ctx.concurrency * 4]:
        slots[i] = (await ctx.client.expect(200, "GET", f"Slot/{i}")).json()
    owned = [list(slots)[n :: ctx.concurrency] for n in range(ctx.concurrency)]
    turns, versions, writes = (
        Counter(),
        {i: s["meta"]["versionId"] for i, s in slots.items()},
        Counter(),
    )

    async def operation(connection, rng, worker):
        i = owned[worker][turns[worker] % len(owned[worker])]
        turns[worker] += 1
        body = {**slots[i], "comment": f"write {worker}/{turns[worker]}"}
        answer = await connection.request(
            "PUT", f"Slot/{i}", body, {"if-match": f'W/"{versions[i]}"'}
        )
        if answer.status != 200:
            return answer.ns, answer.status, answer.brief()
        version = answer.version()
        error = (
            f"version did not change: {version}"
            if version == versions[i] or version is None
            else None
        )
        versions[i], slots[i] = version, body
        writes[i] += 1
        return answer.ns, answer.status, error

    result = await closed_loop(ctx, operation)
    wrong = stale = 0
    first = {i: v for i, v in pairs}
    for i in list(slots)[:50]:
        got = (await ctx.client.expect(200, "GET", f"Slot/{i}")).json()
        wrong += got["meta"]["versionId"] != versions[i] or got.get("comment") != slots[i].get(
            "comment"
        )
        old = await ctx.client.request(
            "PUT", f"Slot/{i}", slots[i], {"if-match": f'W/"{first[i] or "0"}"'}
        )
        stale += old.status in (409, 412)
    contended = await _contended_counter(ctx, 16, 20)
    checked = min(50, len(slots))
    return {
        **result,
        "check": {
            "last_write_wrong_of_50": wrong,
            "stale_refused": f"{stale}/{checked}",
            "contended_counter": contended,
            "pass": not wrong and stale == checked and contended["lost_updates"] == 0,
        },
    }


async def _contended_counter(ctx: Context, workers: int, each: int) -> dict:
    """Read-modify-write of one slot by many: the counter must equal the acknowledged increments."""
    made = await ctx.client.expect(
        201,
        "POST",
        "Slot",
        make_slot(ctx.manifest["schedules"][0], BASE + timedelta(days=200), comment="0"),
    )
    path = f"Slot/{made.headers['location'].split('/Slot/')[1].split('/')[0]}"
    acknowledged, statuses = 0, Counter()

    async def worker():
        nonlocal acknowledged
        connection = ctx.client.connection()
        for _ in range(each):
            slot = (await connection.request("GET", path)).json()
            version = slot["meta"]["versionId"]
            slot["comment"] = str(int(slot["comment"]) + 1)
            answer = await connection.request("PUT", path, slot, {"if-match": f'W/"{version}"'})
            statuses[str(answer.status)] += 1
            acknowledged += answer.status == 200
        connection.close()

    await asyncio.gather(*(worker() for _ in range(workers)))
    final = int((await ctx.client.expect(200, "GET", path)).json()["comment"])
    return {
        "attempts": workers * each,
        "acknowledged": acknowledged,
        "final": final,
        "lost_updates": acknowledged - final,
        "statuses": dict(statuses),
    }


# ---- W6


async def w6_booking_race(
    ctx: Context, strategy_name: str, clients: int = 64, hot: int = 200
) -> dict:
    """Every client tries every hot slot once, all in nearly the same order: 64 rivals per slot."""
    strategy = STRATEGIES[strategy_name](ctx.client, ctx.manifest)
    await strategy.prepare(hot)
    won, lost, statuses, outcomes, samples = Recorder(), Recorder(), Counter(), Counter(), []
    winners, refusals = Counter(), Counter()
    meter = Meter(ctx.groups)
    connections = [ctx.client.connection() for _ in range(clients)]
    await asyncio.gather(*(c.request("GET", "metadata") for c in connections))

    async def rival(who: int):
        rng, order = random.Random(ctx.seed * 31 + who), list(range(len(strategy.targets)))
        for block in range(0, len(order), 8):  # local disorder: a crowd moving through the list
            part = order[block : block + 8]
            rng.shuffle(part)
            order[block : block + 8] = part
        for t in order:
            try:
                outcome, answer = await strategy.attempt(connections[who], strategy.targets[t], who)
                status, ns = answer.status, answer.ns
            except (OSError, TimeoutError, ConnectionError) as exc:
                outcome, status, ns = f"error {type(exc).__name__}", type(exc).__name__, 0
            statuses[str(status)] += 1
            outcomes[outcome] += 1
            if outcome == "won":
                won.add(ns, status, None)
                winners[t] += 1
            elif outcome == "lost":
                lost.add(ns, status, None)
                refusals[f"{status} {_reason(answer)}"] += 1
            elif len(samples) < 5:
                samples.append(f"{outcome}: {answer.brief()}" if ns else outcome)

    meter.start()
    t0 = time.perf_counter()
    await asyncio.gather(*(rival(n) for n in range(clients)))
    seconds = time.perf_counter() - t0
    cpu = meter.stop()
    for connection in connections:
        connection.close()
    bookings = await strategy.audit()
    double = sum(b > 1 for b in bookings)
    told_two = sum(n > 1 for n in winners.values())
    attempts = clients * len(strategy.targets)
    return {
        "strategy": strategy.name,
        "clients": clients,
        "hot_slots": len(strategy.targets),
        "seconds": round(seconds, 2),
        "attempts": attempts,
        "attempts_per_s": round(attempts / seconds, 1),
        "bookings_per_s": round(len(won.latencies) / seconds, 1),
        "outcomes": dict(outcomes),
        "statuses": dict(statuses),
        "error_samples": samples,
        "refusals": dict(refusals.most_common(8)),
        "won_ms": summary_ms(won.latencies),
        "lost_ms": summary_ms(lost.latencies),
        "check": {
            "booked_once": sum(b == 1 for b in bookings),
            "never_booked": sum(b == 0 for b in bookings),
            "double_booked": double,
            "two_clients_told_yes": told_two,
            "inconsistent_slots": sum(not t.get("consistent", True) for t in strategy.targets),
            "pass": double == 0 and told_two == 0 and len(won.latencies) == len(bookings),
        },
        "cpu_percent_of_a_core": cpu,
        "memory_mib": ctx.groups.memory_mib(),
    }


def _reason(answer) -> str:
    """What a refusal says: a taken slot and a failed transaction are different things to a client."""
    try:
        issue = answer.json()["issue"][0]
        return str(
            issue.get("details", {}).get("text") or issue.get("diagnostics") or issue.get("code")
        )[:80]
    except Exception:
        return "no OperationOutcome"

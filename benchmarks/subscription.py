"""W7: one rest-hook Subscription on Appointment, a local receiver, and what arrives."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from benchmarks.http import Connection
from benchmarks.loop import Context
from benchmarks.procs import Meter
from benchmarks.receiver import Arrival, Receiver
from benchmarks.resources import BASE, Json, make_appointment
from benchmarks.stats import summary_ms

SEQUENCE = re.compile(r"^W7 (\w+) (\d+)$")
_HEADER = ("X-Load-Test", "seven")
_SETUP_WORKERS = 4
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Volumes:
    """How much W7 does.

    Attributes:
        burst: creates as fast as `concurrency` clients can.
        paced_rate: creates a second, whether or not earlier ones have been answered.
        updated: appointments that get `updates_each` quick updates.
        refused: of the `retried` creates, whose first delivery is answered 503.
        patience: seconds without an arrival after which the missing count as lost.
        retry_patience: seconds that a redelivery may take.
        linger: seconds for duplicates to show.
    """

    burst: int = 500
    concurrency: int = 8
    singles: int = 200
    paced_rate: float = 100.0
    paced_seconds: float = 10.0
    updated: int = 40
    updates_each: int = 5
    retried: int = 20
    refused: int = 5
    patience: float = 20.0
    retry_patience: float = 75.0
    linger: float = 1.0

    @classmethod
    def of(cls, burst: int, paced_rate: float, paced_seconds: float) -> Volumes:
        """With the other counts in proportion to the burst."""
        return cls(
            burst=burst,
            singles=max(1, burst * 2 // 5),
            paced_rate=paced_rate,
            paced_seconds=paced_seconds,
            updated=max(1, burst * 2 // 25),
        )


class Exchange(NamedTuple):
    """A create, in `time.perf_counter_ns`: when it was to be sent, was sent, and was answered."""

    due: int
    sent: int
    answered: int


Times = dict[int, Exchange]


def late(arrivals: Sequence[int], times: Times) -> int:
    """How many came after one whose request was sent only when theirs had already been answered."""
    count = newest = 0
    for n in arrivals:
        count += times[n].answered < newest
        newest = max(newest, times[n].sent)
    return count


def inversions(sequence: Sequence[int]) -> int:
    """How many arrived after something newer had already arrived."""
    count, highest = 0, -1
    for n in sequence:
        count += n < highest
        highest = max(highest, n)
    return count


def told(arrivals: Sequence[tuple[int, int]], times: Times) -> Json:
    """What the receiver saw of a series of creates.

    Latencies from the request begin when it was due, so a create that had to wait counts in full.

    Args:
        arrivals: number and time of each, in the order of arrival.
    """
    first: dict[int, int] = {}
    for n, at in arrivals:
        first.setdefault(n, at)
    return {
        "created": len(times),
        "received": len(first),
        "lost": len(times) - len(first),
        "duplicates": len(arrivals) - len(first),
        "out_of_order": late([n for n, _ in arrivals], times),
        "latency_from_request_ms": summary_ms([first[n] - times[n].due for n in first]),
        "latency_from_answer_ms": summary_ms([first[n] - times[n].answered for n in first]),
        "sent_behind_ms": summary_ms([each.sent - each.due for each in times.values()]),
    }


def versions_told(versions: dict[str, list[str]], arrivals: Sequence[tuple[str, str]]) -> Json:
    """What the receiver saw of quick updates: each version once, each resource's in order.

    Args:
        versions: the version ids of each resource, in the order in which they were written.
        arrivals: resource and version of each, in the order of arrival.
    """
    known = {(each, version) for each, order in versions.items() for version in order}
    out_of_order = [
        inversions([order.index(v) for i, v in arrivals if i == each and v in order])
        for each, order in versions.items()
    ]
    return {
        "resources": len(versions),
        "versions": len(known),
        "received": len(set(arrivals) & known),
        "lost": len(known - set(arrivals)),
        "duplicates": len(arrivals) - len(set(arrivals)),
        "out_of_order": sum(out_of_order),
        "resources_out_of_order": sum(count > 0 for count in out_of_order),
    }


def is_good(result: Json) -> bool:
    """Nothing lost, nothing twice, everything in order, and what was refused came again."""
    series = [result[part] for part in ("burst", "one_at_a_time", "paced", "updates")]
    retry = result["retry"]
    return (
        all(each["lost"] == each["duplicates"] == each["out_of_order"] == 0 for each in series)
        and retry["never_redelivered"] == retry["others_lost"] == 0
        and result["unreadable_notifications"] == 0
        and bool(result["header_delivered"])
    )


async def w7_subscription(
    ctx: Context, volumes: Volumes | None = None, *, port: int = 0, criteria: str = "Appointment"
) -> Json:
    """Subscribes, writes in several ways, and tells what was told when.

    Args:
        port: the receiver's; 0 takes a free one.
        criteria: the Subscription's.
    """
    receiver = Receiver()
    await receiver.start(port)
    try:
        where, result = await _subscribe(ctx, receiver.port, criteria)
        try:
            result |= await _Hook(ctx, receiver, volumes or Volumes()).run()
        finally:
            await ctx.client.request("DELETE", where)
    finally:
        receiver.stop()
    return {**result, "check": {"pass": is_good(result)}}


async def _subscribe(ctx: Context, port: int, criteria: str) -> tuple[str, Json]:
    """Asks as R4 says (status requested); if the server leaves it so, sets it active itself."""
    resource = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "load test",
        "criteria": criteria,
        "channel": {
            "type": "rest-hook",
            "endpoint": f"http://127.0.0.1:{port}/hook",
            "payload": "application/fhir+json",
            "header": [": ".join(_HEADER)],
        },
    }
    made = await ctx.client.expect(201, "POST", "Subscription", resource)
    where = f"Subscription/{made.created_id('Subscription')}"
    got = resource
    for _ in range(100):
        got = (await ctx.client.expect(200, "GET", where)).json()
        if got["status"] == "active":
            return where, {"activated_by": "server"}
        await asyncio.sleep(_POLL_SECONDS)
    await ctx.client.expect(200, "PUT", where, {**got, "status": "active"})
    return where, {"activated_by": "client (server left status 'requested')"}


@dataclass(slots=True)
class _Hook:
    """An active Subscription and its receiver."""

    ctx: Context
    receiver: Receiver
    volumes: Volumes
    _idle: list[Connection] = field(default_factory=list)

    async def run(self) -> Json:
        """Every part, one after the other."""
        volumes = self.volumes
        result: Json = {"warmup": await self._series("warm", 50, _SETUP_WORKERS)}
        result["burst"] = await self._series("burst", volumes.burst, volumes.concurrency)
        result["one_at_a_time"] = await self._series("single", volumes.singles, 1)
        result["paced"] = await self._paced("paced")
        result["updates"] = await self._updates()
        result["retry"] = await self._retry()
        arrivals, name = self.receiver.arrivals, _HEADER[0].lower()
        result["header_delivered"] = any(a.headers.get(name) == _HEADER[1] for a in arrivals)
        result["unreadable_notifications"] = len(self.receiver.unreadable)
        result["sample_headers"] = dict(arrivals[-1].headers) if arrivals else {}
        result["memory_mib"] = self.ctx.groups.memory_mib()
        return result

    def _body(self, series: str, n: int) -> Json:
        manifest = self.ctx.manifest
        return make_appointment(
            manifest["spare_patients"][-1],
            manifest["practitioners"][0],
            manifest["locations"][0],
            BASE + timedelta(days=90, minutes=n),
            description=f"W7 {series} {n}",
        )

    def _seen(self, series: str) -> list[tuple[int, Arrival]]:
        return [
            (int(found[2]), arrival)
            for arrival in self.receiver.arrivals
            if (found := SEQUENCE.match(arrival.description)) and found[1] == series
        ]

    async def _send(
        self, connection: Connection, series: str, n: int, due: int | None = None
    ) -> Exchange:
        sent = time.perf_counter_ns()
        answer = await connection.request("POST", "Appointment", self._body(series, n))
        if answer.status != 201:
            raise RuntimeError(answer.brief())
        return Exchange(due or sent, sent, time.perf_counter_ns())

    async def _create(self, series: str, total: int, workers: int) -> Times:
        """Creates the series, each worker the next one after the answer."""
        times: Times = {}
        numbers = iter(range(total))

        async def worker() -> None:
            connection = self.ctx.client.connection()
            for n in numbers:
                times[n] = await self._send(connection, series, n)
            connection.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
        return times

    async def _series(self, series: str, total: int, workers: int) -> Json:
        meter, began = Meter(self.ctx.groups), time.perf_counter()
        times = await self._create(series, total, workers)
        seconds = time.perf_counter() - began
        return {
            **await self._told(series, times, meter),
            "create_per_s": round(len(times) / seconds, 1),
            "concurrency": workers,
        }

    async def _told(self, series: str, times: Times, meter: Meter) -> Json:
        await self._quiet(len(times), lambda: len({n for n, _ in self._seen(series)}))
        cpu = meter.stop()
        await asyncio.sleep(self.volumes.linger)
        arrivals = [(n, arrival.at) for n, arrival in self._seen(series)]
        return {**told(arrivals, times), "cpu_percent_of_a_core": cpu}

    async def _paced(self, series: str) -> Json:
        """An open loop: every create is sent when it is due, on a connection that is idle."""
        rate, times = self.volumes.paced_rate, Times()
        total = max(1, int(rate * self.volumes.paced_seconds))
        # Opened before, so that no create pays for it.
        self._idle = [self.ctx.client.connection() for _ in range(self.volumes.concurrency)]
        await asyncio.gather(*(each.request("GET", "metadata") for each in self._idle))

        async def one(n: int, due: int) -> None:
            connection = self._idle.pop() if self._idle else self.ctx.client.connection()
            times[n] = await self._send(connection, series, n, due)
            self._idle.append(connection)

        meter, began = Meter(self.ctx.groups), time.perf_counter_ns()
        async with asyncio.TaskGroup() as group:
            for n in range(total):
                due = began + int(n * 1e9 / rate)
                await asyncio.sleep(max(0.0, (due - time.perf_counter_ns()) / 1e9))
                group.create_task(one(n, due))
        seconds = (time.perf_counter_ns() - began) / 1e9
        for connection in self._idle:
            connection.close()
        return {
            **await self._told(series, times, meter),
            "create_per_s": round(total / seconds, 1),
            "rate": rate,
            "connections": len(self._idle),
        }

    async def _quiet(self, expected: int, count: Callable[[], int]) -> None:
        """Waits until so many are there, or nothing has come for too long."""
        last, since = -1, time.monotonic()
        while count() < expected and time.monotonic() - since < self.volumes.patience:
            if len(self.receiver.arrivals) != last:
                last, since = len(self.receiver.arrivals), time.monotonic()
            await asyncio.sleep(_POLL_SECONDS)

    async def _updates(self) -> Json:
        """Quick updates of several appointments: every version once, in version order."""
        versions: dict[str, list[str]] = {}
        workers, total = _SETUP_WORKERS, self.volumes.updated

        async def worker(numbers: Sequence[int]) -> None:
            connection = self.ctx.client.connection()
            for n in numbers:
                answer = await connection.request("POST", "Appointment", self._body("upd", n))
                current = answer.json()
                written = versions[current["id"]] = [current["meta"]["versionId"]]
                path = f"Appointment/{current['id']}"
                for step in range(self.volumes.updates_each):
                    current["comment"] = f"step {step}"
                    answer = await connection.request("PUT", path, current)
                    if answer.status != 200:
                        raise RuntimeError(answer.brief())
                    current = answer.json()
                    written.append(current["meta"]["versionId"])
            connection.close()

        async with asyncio.TaskGroup() as group:
            for first in range(workers):
                group.create_task(worker(range(first, total, workers)))

        def arrived() -> list[tuple[str, str]]:
            return [(a.id, a.version or "") for a in self.receiver.arrivals if a.id in versions]

        expected = total * (self.volumes.updates_each + 1)
        await self._quiet(expected, lambda: len(set(arrived())))
        await asyncio.sleep(self.volumes.linger)
        return versions_told(versions, arrived())

    async def _retry(self) -> Json:
        """The first delivery of some is answered 503: are they delivered again, and when?"""
        volumes, receiver = self.volumes, self.receiver
        receiver.refuse = {f"W7 retry {n}" for n in range(volumes.refused)}
        await self._create("retry", volumes.retried, 2)

        def accepted() -> set[int]:
            return {n for n, arrival in self._seen("retry") if not arrival.refused}

        end = time.monotonic() + volumes.retry_patience
        while len(accepted()) < volumes.retried and time.monotonic() < end:  # noqa: ASYNC110 - rare
            await asyncio.sleep(_POLL_SECONDS)
        delays: dict[str, int] = {}
        for _, arrival in self._seen("retry"):
            if not arrival.refused and arrival.description in receiver.refused:
                waited = arrival.at - receiver.refused[arrival.description]
                delays.setdefault(arrival.description, waited)
        arrivals = Counter(n for n, _ in self._seen("retry"))
        others = range(volumes.refused, volumes.retried)
        return {
            "refused_once": len(receiver.refused),
            "redelivered": len(delays),
            "never_redelivered": volumes.refused - len(delays),
            "others_lost": sum(arrivals[n] == 0 for n in others),
            "waited_at_most_s": volumes.retry_patience,
            "redelivery_after_ms": summary_ms(list(delays.values())),
        }

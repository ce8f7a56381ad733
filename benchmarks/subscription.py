"""W7: one rest-hook Subscription on Appointment, a local receiver, and what arrives."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from datetime import timedelta

import httptools
import orjson

from benchmarks.dataset import BASE, make_appointment
from benchmarks.procs import Meter
from benchmarks.stats import summary_ms

SEQUENCE = re.compile(r"^W7 (\w+) (\d+)$")


class Receiver:
    """Accepts notifications, remembers when each came, and can refuse the first try of chosen ones."""

    def __init__(self):
        self.arrivals: list[dict] = []
        self.refuse: set[str] = set()  # descriptions whose first delivery is answered 503
        self.refused: dict[str, int] = {}
        self.unreadable: list[bytes] = []

    async def start(self, port: int):
        self.server = await asyncio.get_running_loop().create_server(
            lambda: _ReceiverProtocol(self), "127.0.0.1", port
        )

    def stop(self):
        self.server.close()

    def take(self, method: str, headers: dict, body: bytes) -> int:
        now = time.perf_counter_ns()
        resource = self._appointment(body)
        if resource is None:
            self.unreadable.append(body[:300])
            return 200
        description = resource.get("description", "")
        refused = description in self.refuse and description not in self.refused
        if refused:
            self.refused[description] = now
        self.arrivals.append(
            {
                "at": now,
                "id": resource["id"],
                "description": description,
                "refused": refused,
                "version": resource.get("meta", {}).get("versionId"),
                "headers": headers,
                "comment": resource.get("comment"),
            }
        )
        return 503 if refused else 200

    @staticmethod
    def _appointment(body: bytes) -> dict | None:
        """The Appointment in the body itself, or in a notification Bundle (R5 backport)."""
        try:
            value = orjson.loads(body)
        except Exception:
            return None
        if value.get("resourceType") == "Bundle":
            value = next(
                (
                    e["resource"]
                    for e in value.get("entry", [])
                    if e.get("resource", {}).get("resourceType") == "Appointment"
                ),
                {},
            )
        return value if value.get("resourceType") == "Appointment" else None


class _ReceiverProtocol(asyncio.Protocol):
    def __init__(self, receiver: Receiver):
        self.receiver = receiver

    def connection_made(self, transport):
        self.transport = transport
        self._new()

    def _new(self):
        self.parser, self.headers, self.chunks = httptools.HttpRequestParser(self), {}, []

    def data_received(self, data):
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_header(self, name, value):
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if name.lower() == b"expect":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body):
        self.chunks.append(body)

    def on_message_complete(self):
        keep = self.parser.should_keep_alive()
        status = self.receiver.take(
            self.parser.get_method().decode(), self.headers, b"".join(self.chunks)
        )
        reason = {200: "OK", 503: "Service Unavailable"}[status]
        self.transport.write(
            f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\n"
            f"connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
        )
        if keep:
            asyncio.get_running_loop().call_soon(self._new)
        else:
            self.transport.close()


async def _subscribe(ctx, port: int, criteria: str, header: str) -> tuple[str, dict]:
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
            "header": [header],
        },
    }
    made = await ctx.client.expect(201, "POST", "Subscription", resource)
    where = f"Subscription/{made.headers['location'].split('/Subscription/')[1].split('/')[0]}"
    for _ in range(20):
        got = (await ctx.client.expect(200, "GET", where)).json()
        if got["status"] == "active":
            return where, {"activated_by": "server"}
        await asyncio.sleep(0.25)
    await ctx.client.expect(200, "PUT", where, {**got, "status": "active"})
    return where, {"activated_by": "client (server left status 'requested')"}


async def _quiet(receiver: Receiver, expected: int, count, patience: float):
    """Waits until count() reaches expected, or nothing has come for `patience` seconds."""
    last, since = -1, time.monotonic()
    while count() < expected and time.monotonic() - since < patience:
        if len(receiver.arrivals) != last:
            last, since = len(receiver.arrivals), time.monotonic()
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # time for duplicates to show


def _late(arrivals: list[int], times: dict[int, tuple[int, int]]) -> int:
    """How many came after one whose request was sent only when theirs had already been answered."""
    late = newest = 0
    for n in arrivals:
        late += times[n][1] < newest
        newest = max(newest, times[n][0])
    return late


def _inversions(sequence: list[int]) -> int:
    """How many arrived after something newer had already arrived."""
    late, highest = 0, -1
    for n in sequence:
        late += n < highest
        highest = max(highest, n)
    return late


async def w7_subscription(
    ctx,
    port: int = 28999,
    count: int = 500,
    concurrency: int = 8,
    patience: float = 20.0,
    criteria: str = "Appointment",
    retry_patience: float = 75.0,
) -> dict:
    m, receiver = ctx.manifest, Receiver()
    await receiver.start(port)
    where, result = await _subscribe(ctx, port, criteria, "X-Load-Test: seven")
    person = m["spare_patients"][55]

    def body(series: str, n: int) -> dict:
        return make_appointment(
            person,
            m["practitioners"][0],
            m["locations"][0],
            BASE + timedelta(days=90, minutes=n),
            description=f"W7 {series} {n}",
        )

    def seen(series: str) -> list[tuple[int, dict]]:
        return [
            (int(x[2]), a)
            for a in receiver.arrivals
            if (x := SEQUENCE.match(a["description"])) and x[1] == series
        ]

    async def create(series: str, total: int, workers: int) -> dict[int, tuple[int, int]]:
        """Creates the series; answers when each request was sent and answered."""
        times, numbers = {}, iter(range(total))

        async def worker():
            connection = ctx.client.connection()
            for n in numbers:
                sent = time.perf_counter_ns()
                answer = await connection.request("POST", "Appointment", body(series, n))
                if answer.status != 201:
                    raise RuntimeError(answer.brief())
                times[n] = (sent, time.perf_counter_ns())
            connection.close()

        await asyncio.gather(*(worker() for _ in range(workers)))
        return times

    def report(series: str, times: dict, seconds: float) -> dict:
        first: dict[int, int] = {}
        arrivals = seen(series)
        for n, a in arrivals:
            first.setdefault(n, a["at"])
        return {
            "created": len(times),
            "create_per_s": round(len(times) / seconds, 1),
            "received": len(first),
            "lost": len(times) - len(first),
            "duplicates": len(arrivals) - len(first),
            "out_of_order": _late([n for n, _ in arrivals], times),
            "latency_from_request_ms": summary_ms([first[n] - times[n][0] for n in first]),
            "latency_from_answer_ms": summary_ms([first[n] - times[n][1] for n in first]),
        }

    async def series(name: str, total: int, workers: int) -> dict:
        t0 = time.perf_counter()
        times = await create(name, total, workers)
        seconds = time.perf_counter() - t0
        await _quiet(receiver, total, lambda: len({n for n, _ in seen(name)}), patience)
        return report(name, times, seconds)

    try:
        result["warmup"] = await series("warm", 50, 4)
        meter = Meter(ctx.groups)
        meter.start()
        result["burst"] = {**await series("burst", count, concurrency), "concurrency": concurrency}
        result["cpu_percent_of_a_core"] = meter.stop()
        result["one_at_a_time"] = await series("single", 200, 1)
        result["updates"] = await _updates(ctx, receiver, body, patience)
        result["retry"] = await _retry(ctx, receiver, create, seen, retry_patience)
        result["header_delivered"] = any(
            a["headers"].get("x-load-test") == "seven" for a in receiver.arrivals
        )
        result["unreadable_notifications"] = len(receiver.unreadable)
        result["sample_headers"] = receiver.arrivals[-1]["headers"] if receiver.arrivals else {}
        good = lambda r: r["lost"] == 0 and r["duplicates"] == 0
        result["check"] = {
            "pass": all(good(result[k]) for k in ("burst", "one_at_a_time", "updates"))
            and result["retry"]["never_redelivered"] == 0
        }
    finally:
        await ctx.client.request("DELETE", where)
        receiver.stop()
    return result


async def _updates(
    ctx, receiver: Receiver, body, patience: float, resources: int = 40, each: int = 5
) -> dict:
    """Five quick updates of each of 40 appointments: every version once, in version order."""
    versions: dict[str, list[str]] = {}

    async def worker(numbers):
        connection = ctx.client.connection()
        for n in numbers:
            answer = await connection.request("POST", "Appointment", body("upd", n))
            current = answer.json()
            versions[current["id"]] = [current["meta"]["versionId"]]
            for step in range(each):
                current["comment"] = f"step {step}"
                answer = await connection.request("PUT", f"Appointment/{current['id']}", current)
                if answer.status != 200:
                    raise RuntimeError(answer.brief())
                current = answer.json()
                versions[current["id"]].append(current["meta"]["versionId"])
        connection.close()

    await asyncio.gather(*(worker(range(w, resources, 4)) for w in range(4)))
    arrivals = lambda: [(a["id"], a["version"]) for a in receiver.arrivals if a["id"] in versions]
    total = resources * (each + 1)
    await _quiet(receiver, total, lambda: len(set(arrivals())), patience)
    got = arrivals()
    out_of_order, resources_wrong = 0, 0
    for i, order in versions.items():
        sequence = [order.index(v) for j, v in got if j == i and v in order]
        out_of_order += _inversions(sequence)
        resources_wrong += bool(_inversions(sequence))
    known = {(i, v) for i, order in versions.items() for v in order}
    return {
        "resources": resources,
        "versions": total,
        "received": len(set(got) & known),
        "lost": total - len(set(got) & known),
        "duplicates": len(got) - len(set(got)),
        "out_of_order": out_of_order,
        "resources_out_of_order": resources_wrong,
    }


async def _retry(
    ctx, receiver: Receiver, create, seen, patience: float, total: int = 20, refuse: int = 5
) -> dict:
    """The receiver answers 503 to the first delivery of five: are they delivered again, and when?"""
    receiver.refuse = {f"W7 retry {n}" for n in range(refuse)}
    await create("retry", total, 2)
    accepted = lambda: len({n for n, a in seen("retry") if not a["refused"]})
    end = time.monotonic() + patience
    while accepted() < total and time.monotonic() < end:
        await asyncio.sleep(0.1)
    delays = [
        a["at"] - receiver.refused[a["description"]]
        for _, a in seen("retry")
        if not a["refused"] and a["description"] in receiver.refused
    ]
    counts = Counter(n for n, _ in seen("retry"))
    return {
        "refused_once": len(receiver.refused),
        "redelivered": len(delays),
        "never_redelivered": len(receiver.refused) - len(delays),
        "waited_s": patience,
        "others_received": sum(1 for n in range(refuse, total) if counts[n]),
        "redelivery_after_ms": summary_ms(delays),
    }

"""The closed loop of W1-W5: so many workers, each sends the next request after the answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.dataset import Manifest
from benchmarks.http import Client, Connection, Response
from benchmarks.procs import Groups, Meter
from benchmarks.resources import Json
from benchmarks.stats import Recorder

Operation = Callable[[Connection, random.Random, int], Awaitable[tuple[Response, str | None]]]
"""One exchange of a worker, whose number comes last; answers what was wrong, if anything."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a workload runs on.

    Attributes:
        concurrency: workers of a closed loop.
        warmup: seconds before the measured ones.
        seed: of the random choices, so that a run can be repeated.
    """

    client: Client
    manifest: Manifest
    groups: Groups
    concurrency: int
    warmup: float
    seconds: float
    seed: int = 1


async def closed_loop(ctx: Context, operation: Operation) -> Json:
    """Runs the operation in every worker until the time is over.

    Latencies count once the warm-up is over; wrong answers, whatever is wrong, count always.
    """
    recorder, meter = Recorder(), Meter(ctx.groups)
    begin = time.perf_counter() + ctx.warmup
    end = begin + ctx.seconds

    async def worker(number: int) -> None:
        connection, rng = ctx.client.connection(), random.Random(ctx.seed * 7919 + number)
        while (now := time.perf_counter()) < end:
            ns, status, error = await _judged(operation, connection, rng, number)
            if now >= begin or error is not None:
                recorder.add(ns, status, error)
        connection.close()

    async def measured() -> Json:
        await asyncio.sleep(ctx.warmup)
        meter.start()
        await asyncio.sleep(ctx.seconds)
        return dict(meter.stop())

    workers = asyncio.gather(*(worker(number) for number in range(ctx.concurrency)))
    cpu, _ = await asyncio.gather(measured(), workers)
    return {
        **recorder.result(ctx.seconds),
        "concurrency": ctx.concurrency,
        "cpu_percent_of_a_core": cpu,
        "memory_mib": ctx.groups.memory_mib(),
    }


async def _judged(
    operation: Operation, connection: Connection, rng: random.Random, number: int
) -> tuple[int, int | str, str | None]:
    try:
        answer, error = await operation(connection, rng, number)
    except Exception as failure:  # noqa: BLE001 - an answer that breaks its judge is wrong too
        connection.close()
        # Whoever refuses every connection must not keep this loop from ending.
        await asyncio.sleep(0.01)
        return 0, type(failure).__name__, repr(failure)
    return answer.ns, answer.status, error

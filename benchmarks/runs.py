"""Which workloads run, one after the other, and whether every answer was right."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.dataset import Manifest
from benchmarks.http import Client
from benchmarks.loop import Context
from benchmarks.procs import Groups
from benchmarks.race import w6_booking_race
from benchmarks.reads import w1_read_appointment, w2_search_slots, w3_search_appointments
from benchmarks.resources import Json
from benchmarks.subscription import Volumes, w7_subscription
from benchmarks.writes import w4_create_appointment, w5_update_slot

LOOPS: dict[str, Callable[[Context], Awaitable[Json]]] = {
    "W1": w1_read_appointment,
    "W2": w2_search_slots,
    "W3": w3_search_appointments,
    "W4": w4_create_appointment,
    "W5": w5_update_slot,
}
RACE, HOOK = "W6", "W7"
WORKLOADS = (*LOOPS, RACE, HOOK)


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured.

    Attributes:
        concurrency: of W1-W5, each in turn.
        warmup: seconds before the measured ones of W1-W5.
        booking: strategies of W6, each in turn.
        clients: rivals in W6.
        hot: slots in W6.
        hook_port: where W7 receives; 0 for a free one.
        criteria: of W7's Subscription.
    """

    workloads: tuple[str, ...] = WORKLOADS
    concurrency: tuple[int, ...] = (1, 32)
    warmup: float = 2.0
    seconds: float = 8.0
    repeat: int = 1
    booking: tuple[str, ...] = ("post", "book")
    clients: int = 64
    hot: int = 200
    hook_port: int = 0
    criteria: str = "Appointment"
    volumes: Volumes = field(default_factory=Volumes)

    def steps(self) -> list[Step]:
        """Every run, in order."""
        found = []
        for name in self.workloads:
            if name in LOOPS:
                variants = [Step(name, concurrency=each) for each in self.concurrency]
            elif name == RACE:
                variants = [Step(name, strategy=each) for each in self.booking]
            else:
                variants = [Step(name)]
            found += [each for each in variants for _ in range(self.repeat)]
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """One run of one workload."""

    workload: str
    concurrency: int = 1
    strategy: str = ""

    def __str__(self) -> str:
        """For people."""
        if self.workload in LOOPS:
            return f"{self.workload}, {self.concurrency} at a time"
        return f"{self.workload} {self.strategy}".strip()


async def run_step(step: Step, load: Load, ctx: Context) -> Json:
    """Runs one workload; when it breaks, its result is the error."""
    try:
        if step.workload in LOOPS:
            return await LOOPS[step.workload](ctx)
        if step.workload == RACE:
            return await w6_booking_race(ctx, step.strategy, load.clients, load.hot)
        return await w7_subscription(ctx, load.volumes, port=load.hook_port, criteria=load.criteria)
    except ExceptionGroup as failures:
        first = failures.exceptions[0]
        return {"error": f"{type(first).__name__}: {first}"}
    except Exception as failure:  # noqa: BLE001 - must not hide what the other workloads do
        return {"error": f"{type(failure).__name__}: {failure}"}


async def measure(
    load: Load,
    new_client: Callable[[], Client],
    manifest: Manifest,
    groups: Groups,
    about: Json,
    out: Path,
) -> Json:
    """Runs everything, telling how far it is.

    Args:
        about: goes into the results as it is; has at least a label.
        out: gets the results as JSON, anew after each run.
    """
    results: Json = {
        **about,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "cores": os.cpu_count(),
        "memory_before_mib": groups.memory_mib(),
        "runs": [],
    }
    steps, began = load.steps(), time.monotonic()
    for number, step in enumerate(steps, 1):
        elapsed = time.monotonic() - began
        print(f"[{number}/{len(steps)}, {elapsed:.0f} s] {step}", flush=True)
        client = new_client()
        ctx = Context(
            client, manifest, groups, step.concurrency, load.warmup, load.seconds, seed=number
        )
        result = await run_step(step, load, ctx)
        client.close()
        results["runs"].append({"workload": step.workload, "result": result})
        write(out, results)
        print(f"  {brief(result)}", flush=True)
    results["seconds"] = round(time.monotonic() - began, 1)
    write(out, results)
    return results


def write(out: Path, results: Json) -> None:
    """Writes results as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def machine() -> str:
    """Where this runs."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def brief(result: Json) -> str:
    """One line about a run."""
    if "error" in result:
        return str(result["error"])
    keys = ("req_per_s", "attempts_per_s", "latency_ms", "won_ms", "errors", "error_samples")
    shown = {key: result[key] for key in keys if result.get(key)}
    for part in ("burst", "one_at_a_time", "paced"):
        if part in result:
            shown[part] = result[part]["latency_from_request_ms"]
    if "check" in result:
        shown["check"] = result["check"]
    return json.dumps(shown)


def faults(results: Json) -> list[str]:
    """Every run that broke, had a wrong answer, or left the server in a wrong state."""
    found = []
    for number, run in enumerate(results["runs"], 1):
        what = fault(run["result"])
        if what:
            found.append(f"run {number} ({run['workload']}): {what}")
    return found


def fault(result: Json) -> str:
    """What was wrong in a run; empty when nothing was."""
    if "error" in result:
        return f"broke: {result['error']}"
    if result.get("errors"):
        return f"{result['errors']} wrong answers, such as {result['error_samples'][:1]}"
    if result.get("ok") == 0:
        return "no answer at all"
    if not result.get("check", {"pass": True})["pass"]:
        return f"check failed: {result['check']}"
    return ""

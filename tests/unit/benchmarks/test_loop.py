"""The closed loop counts whatever is wrong."""

import random
from typing import Any

from benchmarks.http import Auth, Client, Connection, Response
from benchmarks.loop import Context, Operation, closed_loop
from benchmarks.own_server import free_port
from benchmarks.procs import Groups
from benchmarks.reads import w1_read_appointment
from benchmarks.runs import Load, Step, fault, faults, run_step


def context(base: str = "http://127.0.0.1:1/fhir", warmup: float = 0.0) -> Context:
    manifest: Any = {"appointments": ["a"], "patients": ["p"], "per_patient": 1}
    return Context(
        Client(base, Auth()), manifest, Groups([]), concurrency=2, warmup=warmup, seconds=0.05
    )


def answering(error: str | None) -> Operation:
    async def operation(*_: object) -> tuple[Response, str | None]:
        return Response(200, {}, b"", 1_000_000), error

    return operation


async def test_good_answers_are_measured() -> None:
    """Every worker's good answers count, with their latency."""
    result = await closed_loop(context(), answering(None))
    assert result["ok"] > 2
    assert result["errors"] == 0
    assert result["latency_ms"]["p50"] == 1.0
    assert not fault(result)


async def test_wrong_answers_are_errors() -> None:
    """A 200 with the wrong content is an error of the run."""
    result = await closed_loop(context(), answering("somebody else's"))
    assert (result["ok"], result["latency_ms"]) == (0, {})
    assert result["errors"] > 2
    assert "somebody else's" in fault(result)


async def test_wrong_answers_count_in_the_warm_up() -> None:
    """The warm-up is not measured but judged."""
    calls = 0

    async def operation(_: Connection, __: random.Random, ___: int) -> tuple[Response, str | None]:
        nonlocal calls
        calls += 1
        return Response(200, {}, b"", 1), "wrong" if calls == 1 else None

    result = await closed_loop(context(warmup=0.05), operation)
    assert result["errors"] == 1
    assert fault(result)


async def test_answer_that_breaks_its_judge_is_an_error() -> None:
    """Malformed JSON or a missing element does not end the run."""

    async def operation(*_: object) -> tuple[Response, str | None]:
        return Response(200, {}, b"{", 1).json(), None

    result = await closed_loop(context(), operation)
    assert result["ok"] == 0
    assert result["errors"] > 0
    assert "JSONDecodeError" in result["statuses"]


async def test_absent_server_is_an_error() -> None:
    """Nobody listens: every attempt is an error, and the loop ends."""
    result = await w1_read_appointment(context(f"http://127.0.0.1:{free_port()}/fhir"))
    assert result["ok"] == 0
    assert fault(result).startswith(f"{result['errors']} wrong answers")


async def test_broken_workload_is_a_fault() -> None:
    """A workload that cannot even begin tells why, and the run as a whole is wrong."""
    result = await run_step(Step("W4"), Load(), context())
    assert result["error"].startswith("KeyError")
    assert faults({"runs": [{"workload": "W4", "result": result}]}) == [
        "run 1 (W4): broke: KeyError: 'spare_patients'"
    ]


def test_failed_check_is_a_fault() -> None:
    """Good answers do not make up for a wrong state afterwards."""
    good = {"ok": 5, "errors": 0, "check": {"pass": True}}
    assert not fault(good)
    assert fault({**good, "check": {"lost_updates": 1, "pass": False}})


def test_run_without_answers_is_a_fault() -> None:
    """Nothing wrong, but nothing at all."""
    assert fault({"ok": 0, "errors": 0})


def test_steps_of_a_load() -> None:
    """Each concurrency and each strategy is a run; repeats follow each other."""
    load = Load(workloads=("W1", "W6", "W7"), repeat=2)
    assert [str(step) for step in load.steps()] == [
        *["W1, 1 at a time"] * 2,
        *["W1, 32 at a time"] * 2,
        *["W6 post"] * 2,
        *["W6 book"] * 2,
        *["W7"] * 2,
    ]

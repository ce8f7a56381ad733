"""What time alone makes necessary, done by real Celery processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from fhir_server import worker
from fhir_server.context import system_clock
from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.settings import PREFIX, Settings
from fhir_server.store.deliveries import DeliveryLog
from fhir_server.subscriptions.housekeeping import purge_deliveries, turn_off_ended
from fhir_server.subscriptions.process import (
    TENANT,
    run_deliverer,
    run_sequencer,
    status_writer,
)
from fhir_server.worker import PURGE, SWEEP, TURN_OFF, create
from tests.fixtures_events import (
    Clinic,
    Process,
    Receiver,
    at_least,
    basic,
    running,
    subscription,
    today,
)

Start = Callable[..., Process]


async def test_subscription_is_turned_off_at_its_end(
    clinic: Clinic,
    receiver: Receiver,
    settings: Settings,
) -> None:
    """Events after the end are not numbered, and soon the status says so."""
    deliveries = DeliveryLog(clinic.store.database(TENANT))
    writer = status_writer(clinic.store, settings)
    async with running(run_sequencer(settings), run_deliverer(settings)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.put(subscription("s2", receiver.url))
        await clinic.status("s1", "active")
        await clinic.status("s2", "active")
        assert await turn_off_ended(deliveries, writer, system_clock) == 0
        await clinic.put(basic("b1"))
        await receiver.until(lambda: len(receiver.accepted) == 2)
        end = today() + timedelta(seconds=0.5)
        ending = subscription("s1", receiver.url, end=end.isoformat(), status="active")
        await clinic.put(ending)
        await asyncio.sleep(0.05 + max(0, (end - today()).total_seconds()))
        await clinic.put(basic("b2"))
        await receiver.until(lambda: receiver.numbers("/s2") == [1, 2])
        assert await turn_off_ended(deliveries, writer, system_clock) == 1
        await clinic.status("s1", "off")
        assert await turn_off_ended(deliveries, writer, system_clock) == 0
    assert receiver.numbers("/s1") == [1]
    progress = await clinic.progress("s1")
    assert progress is not None
    assert progress.last == 1


def test_tasks_share_what_was_compiled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artefacts are read once in a process, however many tasks it does, at once or not."""
    loads = []

    def counted() -> Registry:
        loads.append(1)
        return load()

    monkeypatch.setattr(worker, "load", counted)
    tasks = create(settings).tasks
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: tasks[name](), (TURN_OFF, SWEEP, PURGE)))
    assert len(loads) == 1


async def test_only_old_and_delivered_numbers_are_forgotten(
    clinic: Clinic,
    receiver: Receiver,
    settings: Settings,
) -> None:
    """What still waits is kept, however old."""
    rows = clinic.store.database(TENANT)["deliveries"]
    deliveries = DeliveryLog(clinic.store.database(TENANT))
    async with running(run_sequencer(settings)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        async with running(run_deliverer(settings)):
            await clinic.put(basic("b1"))
            await receiver.until(lambda: receiver.numbers() == [1])
        await clinic.put(basic("b2"))
        await at_least(rows, 2)
    assert await purge_deliveries(deliveries, settings, system_clock) == 0
    forgetful = settings.model_copy(update={"delivery_retention_seconds": 0})
    assert await purge_deliveries(deliveries, forgetful, system_clock) == 1
    assert [row["n"] async for row in rows.find({})] == [2]


async def test_beat_and_worker_turn_off(
    clinic: Clinic,
    settings: Settings,
    receiver: Receiver,
    processes: Start,
) -> None:
    """The real beat asks, the real worker does, and both stop quickly when told."""
    async with running(run_sequencer(settings)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        end = (today() + timedelta(seconds=1)).isoformat()
        await clinic.put(subscription("s1", receiver.url, end=end, status="active"))
        beat, worker = [processes(name, housekeeping_seconds=1) for name in ("beat", "worker")]
        await clinic.status("s1", "off", 60)
    for process in (beat, worker):
        assert process.stop() < 5, process.log()
        assert process.code == 0, process.log()
        assert "Traceback" not in process.log()


def test_worker_has_exactly_the_scheduled_tasks(settings: Settings) -> None:
    """Every scheduled task exists, nothing is ever scheduled for later in the broker."""
    app = create(settings)
    expected = {TURN_OFF, PURGE, SWEEP}
    assert expected <= set(app.tasks)
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} == expected
    for entry in app.conf.beat_schedule.values():
        assert not {"eta", "countdown"} & set(entry["options"])
    assert app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1


async def test_command_lists_subscriptions(
    clinic: Clinic,
    receiver: Receiver,
    settings: Settings,
) -> None:
    """`fhir-server subscriptions` shows status, numbers, lag and trouble."""
    assert "no Subscription" in await asyncio.to_thread(listing, settings)
    receiver.answer = lambda _: 500
    async with running(run_sequencer(settings), run_deliverer(settings)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        await clinic.put(basic("b1"))
        await clinic.put(basic("b2"))
        await receiver.until(lambda: len(receiver.received) >= 2)
        shown = await asyncio.to_thread(listing, settings)
    heading, row = shown.splitlines()
    assert heading.split() == ["SUBSCRIPTION", "STATUS", "LAST", "DELIVERED", "LAG", "TROUBLE"]
    assert row.split()[:5] == ["s1", "active", "2", "0", "2"]
    assert "answered 500" in row


def listing(settings: Settings) -> str:
    """What the command prints."""
    given = settings.model_dump(mode="json", exclude_defaults=True)
    environment = {PREFIX + name.upper(): str(value) for name, value in given.items()}
    done = subprocess.run(
        [sys.executable, "-m", "fhir_server", "subscriptions"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_processes_stop_quickly_and_release_their_leases(
    clinic: Clinic,
    settings: Settings,
    receiver: Receiver,
    processes: Start,
) -> None:
    """SIGTERM ends the sequencer and the deliverer at once, and their leases are free again."""
    sequencer, deliverer = processes("sequencer"), processes("deliverer")
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active", 60)
    await clinic.put(basic("b1"))
    await receiver.until(lambda: receiver.numbers() == [1], 60)
    for process in (sequencer, deliverer):
        assert process.stop() < 5, process.log()
        assert process.code == 0, process.log()
    leases = clinic.store.database(TENANT)["leases"]
    drains = clinic.store.database(TENANT)["drains"]
    assert [row["holder"] async for row in leases.find({})] == [""]
    assert [row["holder"] async for row in drains.find({})] == [""]

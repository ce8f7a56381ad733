"""MongoDB or Redis goes away and comes back: no process ends, nothing is lost."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from fhir_server.definitions.loader import load
from fhir_server.embedded.mongod import Mongod
from fhir_server.embedded.redis import Redis
from fhir_server.fhir.errors import FhirError
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from fhir_server.subscriptions.process import run_sequencer
from tests.fixtures_events import Clinic, Process, Receiver, basic, running, subscription, today


@pytest.fixture
def own_mongod(tmp_path: Path) -> Iterator[Mongod]:
    """A MongoDB that this test may kill."""
    server = Mongod(tmp_path / "mongod", log=tmp_path / "mongod.log", cache_gigabytes=0.25)
    server.start()
    server.wait()
    yield server
    server.stop()


async def test_mongodb_may_restart(
    own_mongod: Mongod, settings: Settings, receiver: Receiver
) -> None:
    """The sequencer and the deliverer wait for MongoDB and go on where they were."""
    own = settings.model_copy(update={"mongodb_url": own_mongod.wait(), "sweep_seconds": 0.5})
    store = await Store.open(own, load())
    clinic = Clinic(store, own)
    sequencer, deliverer = Process("sequencer", own), Process("deliverer", own)
    try:
        sequencer.start()
        deliverer.start()
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active", 60)
        await clinic.put(basic("b1"))
        await receiver.until(lambda: receiver.numbers() == [1], 30)
        await asyncio.to_thread(own_mongod.stop)
        await asyncio.sleep(1)
        own_mongod.start()
        await asyncio.to_thread(own_mongod.wait)
        await written(clinic, "b2")
        await receiver.until(lambda: receiver.numbers()[-1:] == [2], 30)
        assert list(dict.fromkeys(receiver.numbers())) == [1, 2]
        assert (sequencer.code, deliverer.code) == (None, None)
    finally:
        assert sequencer.stop() < 5
        assert deliverer.stop() < 5
        await store.close()
    assert (sequencer.code, deliverer.code) == (0, 0)


async def written(clinic: Clinic, logical_id: str) -> None:
    """Write as soon as MongoDB lets us."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(FhirError):
            await clinic.put(basic(logical_id))
            return
        await asyncio.sleep(0.1)
    pytest.fail("MongoDB does not come back")


async def test_housekeeping_survives_a_restart_of_redis(
    clinic: Clinic,
    settings: Settings,
    processes: Callable[..., Process],
    tmp_path: Path,
) -> None:
    """Beat and worker connect again, and what ended meanwhile is turned off."""
    server = Redis(tmp_path / "own-redis", log=tmp_path / "own-redis.log")
    server.start()
    try:
        url = server.wait()
        beat, worker = [
            processes(name, housekeeping_seconds=1, redis_url=url) for name in ("beat", "worker")
        ]
        async with running(run_sequencer(settings)):
            await ended(clinic, "first")
            await clinic.status("first", "off", 60)
            await asyncio.to_thread(server.stop)
            await ended(clinic, "second")
            await asyncio.sleep(2)
            server.start()
            await asyncio.to_thread(server.wait)
            await clinic.status("second", "off", 60)
        assert (beat.code, worker.code) == (None, None), worker.log()
        await asyncio.to_thread(server.stop)
        assert beat.stop() < 5
        assert worker.stop() < 5
    finally:
        server.stop()


async def ended(clinic: Clinic, name: str) -> None:
    """A Subscription that becomes active and is then over."""
    url = "http://127.0.0.1:9"
    await clinic.put(subscription(name, url))
    await clinic.status(name, "active")
    end = (today() + timedelta(seconds=1)).isoformat()
    await clinic.put(subscription(name, url, end=end, status="active"))

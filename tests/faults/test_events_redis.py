"""Redis only saves waiting: without it everything still arrives, a sweep later."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from fhir_server.embedded.redis import Redis
from fhir_server.settings import Settings
from fhir_server.subscriptions.process import run_deliverer, run_sequencer
from tests.fixtures_events import (
    Clinic,
    Receiver,
    basic,
    running,
    subscription,
)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that this test may kill."""
    server = Redis(tmp_path / "own-redis", log=tmp_path / "own-redis.log")
    server.start()
    server.wait()
    yield server
    server.stop()


async def test_redis_may_be_flushed_and_killed(
    clinic: Clinic,
    receiver: Receiver,
    settings: Settings,
    own_redis: Redis,
) -> None:
    """Events while Redis is empty, down and back again all arrive, in order."""
    url = own_redis.wait()
    quick = settings.model_copy(update={"redis_url": url, "sweep_seconds": 0.5})
    async with running(run_sequencer(quick), run_deliverer(quick)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        await clinic.put(basic("b1"))
        await receiver.until(lambda: receiver.numbers() == [1])
        with redis.Redis.from_url(url) as connection:
            connection.flushall()
        await clinic.put(basic("b2"))
        await receiver.until(lambda: receiver.numbers() == [1, 2])
        own_redis.stop()
        for count in range(5):
            await clinic.put(basic(f"down{count}"))
        await receiver.until(lambda: len(receiver.accepted) == 7)
        own_redis.start()
        own_redis.wait()
        await clinic.put(basic("b3"))
        await receiver.until(lambda: len(receiver.accepted) == 8)
    assert receiver.numbers() == list(range(1, 9))


async def test_processes_start_without_redis(
    clinic: Clinic,
    receiver: Receiver,
    settings: Settings,
) -> None:
    """No Redis at all: the sweep delivers."""
    alone = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "sweep_seconds": 0.3})
    async with running(run_sequencer(alone), run_deliverer(alone)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        await clinic.put(basic("b1"))
        await receiver.until(lambda: receiver.numbers() == [1])

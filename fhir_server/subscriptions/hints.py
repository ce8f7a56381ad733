"""Hints from the sequencer to the deliverers, through Redis: somebody has something to be told.

They only save waiting for the next sweep. Nothing depends on one arriving, so publishing never
blocks, never fails, and hints that pile up while Redis is away become one.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import orjson
import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fhir_server.subscriptions.cancellation import end

log = structlog.get_logger()

CONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 0.5
MOST_IDS = 1_000


class Hints:
    """The channel of one tenant."""

    def __init__(self, url: str, database: str) -> None:
        self._channel = f"{database}:deliveries"
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._waiting: set[str] = set()
        self._publishing: asyncio.Task[None] | None = None
        self._lost = False

    def publish(self, subscriptions: Iterable[str]) -> None:
        """Say that these Subscriptions have something to be told."""
        self._waiting.update(subscriptions)
        if self._waiting and (self._publishing is None or self._publishing.done()):
            self._publishing = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        while self._waiting:
            ids = [self._waiting.pop() for _ in range(min(len(self._waiting), MOST_IDS))]
            try:
                await self._redis.publish(self._channel, orjson.dumps(ids))
                self._lost = False
            except (RedisError, OSError) as error:
                self._waiting.clear()
                if not self._lost:
                    log.warning("hints_lost", reason=type(error).__name__)
                self._lost = True

    async def listen(self) -> AsyncGenerator[list[str], None]:
        """The hints, for ever; an empty one after each reconnection, when some may be lost."""
        lost = False
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    lost = False
                    yield []
                    while True:
                        message = await channel.get_message(timeout=PATIENCE_SECONDS)
                        if message is not None:
                            yield orjson.loads(message["data"])
            except (RedisError, OSError, ValueError) as error:
                if not lost:
                    log.warning("hints_unreachable", reason=type(error).__name__)
                lost = True
                await asyncio.sleep(PATIENCE_SECONDS)

    async def close(self) -> None:
        """Let go of Redis."""
        if self._publishing is not None:
            await end({self._publishing})
        await self._redis.aclose()

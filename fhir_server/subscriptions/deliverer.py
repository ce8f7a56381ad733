"""The deliverer: many Subscriptions in one process, none of which waits for another.

A hint through Redis starts a drain at once; a sweep of MongoDB finds whatever no hint told of.
Several deliverers share the work: a Subscription belongs to the first that claims it.
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing, suppress

import structlog

from fhir_server.fhir.errors import Transient
from fhir_server.subscriptions.cancellation import end
from fhir_server.subscriptions.drain import ClaimLost, SubscriptionDrain, Tools
from fhir_server.subscriptions.hints import Hints

log = structlog.get_logger()

IDLE_SECONDS = 5.0
"""How long a drained Subscription is kept: its next event then needs no new claim."""
LONGEST_SLEEP_SECONDS = 5.0
"""How long a stalled drain sleeps at most before it says that it lives."""
SHORTEST_SLEEP_SECONDS = 0.05
ELSEWHERE_SECONDS = 1.0
"""How long hints for a Subscription of another deliverer are ignored."""
RETRY_SECONDS = 0.5
READERS = 64
"""Drains that talk to MongoDB at the same time."""


class Deliverer:
    """One deliverer process of one tenant."""

    def __init__(self, tools: Tools, hints: Hints) -> None:
        self._tools = tools
        self._hints = hints
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._awake: dict[str, asyncio.Event] = {}
        self._stopping = False
        self._readers = asyncio.Semaphore(READERS)

    async def run(self) -> None:
        """Deliver until cancelled; claims are then released."""
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._sweep())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            self._stopping = True
            await end(tasks)
            await end(self._drains.values())

    async def _listen(self) -> None:
        async with aclosing(self._hints.listen()) as hints:
            async for subscriptions in hints:
                self._wake(subscriptions)

    async def _sweep(self) -> None:
        while True:
            try:
                self._wake(await self._tools.deliveries.waiting())
            except Transient as error:
                log.warning("sweep_failed", reason=error.diagnostics)
            except Exception:
                log.exception("sweep_failed")
            await asyncio.sleep(self._tools.settings.sweep_seconds)

    def _wake(self, subscriptions: Iterable[str]) -> None:
        for subscription in subscriptions:
            if subscription in self._drains:
                self._awake[subscription].set()
                continue
            self._awake[subscription] = asyncio.Event()
            task = asyncio.create_task(self._deliver(subscription))
            self._drains[subscription] = task
            task.add_done_callback(lambda _, name=subscription: self._forget(name))  # type: ignore[misc]

    def _forget(self, subscription: str) -> None:
        del self._drains[subscription]
        # What was told while the drain was ending must not wait for the sweep.
        if self._awake.pop(subscription).is_set() and not self._stopping:
            self._wake([subscription])

    async def _deliver(self, subscription: str) -> None:
        try:
            async with self._readers:
                drain = await SubscriptionDrain.claim(self._tools, subscription)
            if drain is None:
                await asyncio.sleep(ELSEWHERE_SECONDS)
                return
            try:
                await self._drain(drain, self._awake[subscription])
            finally:
                with suppress(Transient):
                    await asyncio.shield(drain.release())
        except ClaimLost:
            log.warning("claim_lost", subscription=subscription)
        except Transient as error:
            log.warning("delivery_waits", subscription=subscription, reason=error.diagnostics)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            log.exception("delivery_failed", subscription=subscription)
            await asyncio.sleep(RETRY_SECONDS)

    async def _drain(self, drain: SubscriptionDrain, awake: asyncio.Event) -> None:
        """Work, wait for what is due or told of, work again; return when nothing comes."""
        while True:
            awake.clear()
            wait = await drain.work()
            if wait is None:
                try:
                    # Not wait_for, which in Python 3.11 may swallow a cancellation.
                    async with asyncio.timeout(IDLE_SECONDS):
                        await awake.wait()
                except TimeoutError:
                    return
            elif wait > 0:
                await asyncio.sleep(min(max(wait, SHORTEST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS))
                if not await drain.renew():
                    raise ClaimLost

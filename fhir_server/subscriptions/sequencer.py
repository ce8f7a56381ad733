"""The sequencer: every committed event gets its number in every Subscription it concerns.

It follows the outbox in commit order, keeps track of Subscriptions in that same order, so that
each starts and stops at an exact position, and commits batches whose epoch fences off a
predecessor that does not know yet that it was replaced. Whatever goes wrong, it starts again from
what the database says.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from fhir_server.context import Clock
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import Transient
from fhir_server.scheduling.plan import Decide
from fhir_server.settings import Settings
from fhir_server.store.event_stream import EventStream, HistoryLost
from fhir_server.store.events import (
    AlreadySequenced,
    Batch,
    Event,
    EventLog,
    LeadershipLost,
    Numbered,
    Token,
)
from fhir_server.subscriptions.hints import Hints
from fhir_server.subscriptions.lifecycle import (
    Followed,
    StatusWriter,
    plan_activation,
    plan_error,
)
from fhir_server.subscriptions.numbering import Numbering

log = structlog.get_logger()

LEASE = "sequencer"
BATCH = 500
DELIVERIES = 20_000
"""Most deliveries that one transaction may have to insert, if all Subscriptions match."""
IDLE_SECONDS = 1.0
"""How long one look at the quiet stream lasts."""
GATHER_SECONDS = 0.1
"""How long events that concern nobody may wait to be taken out of the outbox together."""
TOKEN_SECONDS = 10.0
"""How old the remembered position of a quiet stream may become."""
RETRY_SECONDS = 0.5
WRITE_SECONDS = 10.0
"""How long the status of a Subscription may take to be written before it is tried again."""


@dataclass(slots=True)
class _Gathered:
    """What was looked at and is not committed yet."""

    token: Token
    since: float
    events: list[str] = field(default_factory=list)
    numbered: list[Numbered] = field(default_factory=list)
    sequences: dict[str, dict[str, Any]] = field(default_factory=dict)
    requested: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self.numbered or self.sequences) or len(self.events) >= BATCH


class Sequencer:
    """The numbering of one tenant's events; `serve` is one uninterrupted time of leadership."""

    def __init__(
        self,
        events: EventLog,
        hints: Hints,
        status: StatusWriter,
        *,
        registry: Registry,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._events = events
        self._hints = hints
        self._status = status
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._doubtful = False
        self._lost = False
        self._writing: set[asyncio.Task[None]] = set()

    async def serve(self, epoch: int) -> None:
        """Number events until something goes wrong; start again with the same or a later epoch.

        Raises:
            Transient: MongoDB is not available.
        """
        try:
            await self._serve(epoch)
        except LeadershipLost:
            log.warning("sequencer_replaced", epoch=epoch)
        except AlreadySequenced:
            # Positions overlap after the outbox itself was read: look before each batch.
            self._doubtful = True
        except HistoryLost:
            self._lost = True
        finally:
            for task in self._writing:
                task.cancel()
            self._writing.clear()

    async def _serve(self, epoch: int) -> None:
        await self._events.prepare()
        token = await self._events.lead(epoch)
        known = [Followed.of(row) for row in await self._events.sequences()]
        numbering = Numbering(self._registry, self._settings, known, self._clock())
        stream, backlog = await self._open(token)
        log.info("sequencer_leads", epoch=epoch, subscriptions=len(known), backlog=len(backlog))
        try:
            self._act(numbering.requested(self._clock()), numbering.broken)
            gathered = _Gathered(stream.token, time.monotonic())
            while backlog:
                size = min(BATCH, max(1, DELIVERIES // numbering.watched))
                await self._gather(gathered, numbering, backlog[:size])
                gathered = await self._commit(gathered, epoch)
                del backlog[:size]
            await self._follow(stream, numbering, epoch)
        finally:
            await stream.close()

    async def _open(self, token: Token | None) -> tuple[EventStream, list[Event]]:
        """The stream behind the token; without one, all that waits, and the stream from before.

        The stream starts at an operation time that the reading of the outbox waits for, so nothing
        falls between the two; what is in both is told apart when it is committed, because it has
        left the outbox by then.
        """
        if token is not None and not self._lost:
            try:
                return await EventStream.open(self._events.database, token), []
            except HistoryLost:
                log.warning("sequencer_position_lost")
        stream = await EventStream.open(self._events.database, None)
        try:
            backlog = await self._events.backlog(stream.started)
        except BaseException:
            await stream.close()
            raise
        self._lost = False
        return stream, backlog

    async def _follow(self, stream: EventStream, numbering: Numbering, epoch: int) -> None:
        gathered = _Gathered(stream.token, time.monotonic())
        while True:
            before = stream.token
            page = await stream.next(BATCH, GATHER_SECONDS if gathered.events else IDLE_SECONDS)
            rest = page.events
            while len(rest) > (size := max(1, DELIVERIES // numbering.watched)):
                # The position stays before the page: what is done is told apart by the outbox.
                gathered.token = before
                await self._gather(gathered, numbering, rest[:size])
                gathered = await self._commit(gathered, epoch)
                rest = rest[size:]
            if rest:
                await self._gather(gathered, numbering, rest)
            gathered.token = page.token
            age = time.monotonic() - gathered.since
            if gathered.urgent or age >= (GATHER_SECONDS if gathered.events else TOKEN_SECONDS):
                gathered = await self._commit(gathered, epoch)

    async def _gather(
        self, gathered: _Gathered, numbering: Numbering, events: Sequence[Event]
    ) -> None:
        if self._doubtful:
            waiting = await self._events.waiting(event.key for event in events)
            events = [event for event in events if event.key in waiting]
        needed = numbering.needed(events)
        contents = await self._events.contents(needed) if needed else {}
        step = numbering.step(events, contents)
        if not gathered.events:
            gathered.since = time.monotonic()
        gathered.events += [event.key for event in events]
        gathered.numbered += step.numbered
        gathered.sequences |= {one: numbering.document(one) for one in step.changed}
        gathered.requested |= step.requested
        gathered.broken |= step.broken

    async def _commit(self, gathered: _Gathered, epoch: int) -> _Gathered:
        """Write what was gathered and tell of it; gives an empty one for what follows."""
        batch = Batch(gathered.token, gathered.events, gathered.numbered, gathered.sequences)
        await self._events.commit(batch, epoch)
        concerned = {one.subscription for one in gathered.numbered} | gathered.sequences.keys()
        self._hints.publish(concerned)
        self._act(gathered.requested, gathered.broken)
        return _Gathered(gathered.token, time.monotonic())

    def _act(self, requested: Iterable[str], broken: Mapping[str, str]) -> None:
        """Turn Subscriptions on, or say why not, beside the stream: it will hear of it."""
        for subscription, text in broken.items():
            self._write(subscription, plan_error(subscription, text))
        for subscription in requested:
            if subscription not in broken:
                self._write(subscription, plan_activation(subscription))

    def _write(self, subscription: str, decide: Decide) -> None:
        task = asyncio.create_task(self._keep_writing(subscription, decide))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _keep_writing(self, subscription: str, decide: Decide) -> None:
        while True:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._status.write(decide)
            except (Transient, TimeoutError) as error:
                reason = type(error).__name__
                log.warning("subscription_status_waits", subscription=subscription, reason=reason)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                # What cannot be written now is tried again when the next leader starts.
                log.exception("subscription_status_not_written", subscription=subscription)
                return
            else:
                return

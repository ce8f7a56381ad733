"""The delivery of one Subscription's events: in order, one request at a time, until accepted."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from fhir_server.context import Clock
from fhir_server.fhir import codec
from fhir_server.fhir.types import Resource
from fhir_server.settings import Settings
from fhir_server.store.deliveries import Delivery, DeliveryLog, Drain, Subscribed, Trouble
from fhir_server.store.events import EventLog
from fhir_server.subscriptions.channels.rest_hook import Outcome, RestHook
from fhir_server.subscriptions.lifecycle import StatusWriter, end_of, plan_error
from fhir_server.subscriptions.notification import build
from fhir_server.subscriptions.rights import Rights

log = structlog.get_logger()

MARGIN_SECONDS = 5.0
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 300.0
PAGE = 50
LOOK_SECONDS = 0.5
"""How long a Subscription may have changed before its deliveries take notice."""
SAVE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Tools:
    """What every drain of a process shares."""

    deliveries: DeliveryLog
    events: EventLog
    hook: RestHook
    rights: Rights
    status: StatusWriter
    settings: Settings
    clock: Clock
    holder: str

    @property
    def lease_seconds(self) -> float:
        """How long a drain may go without saying that it lives: one whole attempt and some."""
        return self.settings.subscription_timeout_seconds + MARGIN_SECONDS


@dataclass(frozen=True, slots=True)
class _Known:
    """A Subscription and its holder's rights, as of a moment ago.

    Attributes:
        until: by the monotonic clock, when to look again.
    """

    until: float
    subscribed: Subscribed
    version: int
    resource: Resource

    def is_open(self, now: datetime) -> bool:
        """Whether anything may be sent."""
        end = end_of(self.resource)
        return self.resource.get("status") == "active" and (end is None or end > now)


class SubscriptionDrain:
    """One claimed Subscription; `work` as often as there may be something to do."""

    def __init__(self, tools: Tools, drain: Drain) -> None:
        self._tools = tools
        self._drain = drain
        self._renewed = time.monotonic()
        self._saved = drain.next
        self._known: _Known | None = None

    @classmethod
    async def claim(cls, tools: Tools, subscription: str) -> "SubscriptionDrain | None":
        """Take the Subscription; None while another deliverer has it.

        Raises:
            Transient: MongoDB is not available.
        """
        drain = await tools.deliveries.claim(subscription, tools.holder, tools.lease_seconds)
        return None if drain is None else cls(tools, drain)

    async def renew(self) -> bool:
        """Hold on to the claim and see what others wrote; false when it is lost.

        Raises:
            Transient: MongoDB is not available.
        """
        tools = self._tools
        held = self._drain
        drain = await tools.deliveries.claim(held.subscription, tools.holder, tools.lease_seconds)
        if drain is None or drain.epoch != held.epoch:
            return False
        self._drain = replace(drain, next=max(drain.next, held.next))
        self._renewed = time.monotonic()
        return True

    async def release(self) -> None:
        """Let another deliverer have it at once.

        Raises:
            Transient: MongoDB is not available.
        """
        with suppress(ClaimLost):
            await self._save()
        await self._tools.deliveries.release(self._drain)

    async def work(self) -> float | None:
        """Deliver what can be delivered now.

        Returns:
            Seconds until the next attempt is due; 0 if there is more to do at once; None when
            nothing waits or the Subscription is not active.

        Raises:
            Transient: MongoDB is not available.
            ClaimLost: another deliverer has taken over.
        """
        tools, subscription = self._tools, self._drain.subscription
        following = self._drain.next
        known, page = await asyncio.gather(
            self._look(), tools.deliveries.pending(subscription, following, PAGE)
        )
        if known is None or not known.is_open(tools.clock()):
            self._known = None
            return None
        wait = self._wait(known.version)
        if wait > 0:
            return wait
        if known.subscribed.start > following:
            page = await tools.deliveries.pending(subscription, known.subscribed.start, PAGE)
        if not page:
            return None
        contents = await tools.events.contents(one.event for one in page)
        for delivery in page:
            if not await self._tell(known, delivery, contents.get(delivery.event.key)):
                return self._wait(known.version)
        await self._save()
        # A shorter page was all there was; what came meanwhile is told of by a hint.
        return 0 if len(page) == PAGE else None

    async def _look(self) -> "_Known | None":
        """The Subscription as it is now, or was a moment ago; None when there is none."""
        now = time.monotonic()
        if self._known is None or self._known.until < now:
            subscribed, current = await asyncio.gather(
                self._tools.deliveries.subscribed(self._drain.subscription),
                self._tools.deliveries.current(self._drain.subscription),
            )
            if subscribed is None or current is None:
                return None
            resource = codec.decode(current.content)
            self._known = _Known(now + LOOK_SECONDS, subscribed, current.version, resource)
        return self._known

    def _wait(self, version: int) -> float:
        """Seconds until the next attempt; a changed Subscription is tried at once."""
        trouble = self._drain.trouble
        if trouble is None or trouble.version != version:
            return 0
        return max(0.0, (trouble.due_at - self._tools.clock()).total_seconds())

    async def _tell(self, known: "_Known", delivery: Delivery, content: bytes | None) -> bool:
        """Deliver one event or pass it over; false after a failure."""
        tools = self._tools
        refusal = (
            "content-missing"
            if content is None
            else await tools.rights.refusal(known.subscribed, delivery.event, content)
        )
        if refusal is not None:
            log.info("notification_withheld", subscription=delivery.subscription, reason=refusal)
            await tools.deliveries.withhold(delivery, refusal)
            await self._advance(delivery)
            return True
        assert content is not None  # noqa: S101 - refused above
        outcome = await self._send(known.resource, delivery, content)
        if outcome.accepted:
            await self._advance(delivery)
            return True
        self._known = None
        await self._save()
        await self._fail(known.version, delivery, outcome)
        return False

    async def _send(self, resource: Resource, delivery: Delivery, content: bytes) -> Outcome:
        tools = self._tools
        settings = tools.settings
        try:
            notification = build(
                resource.get("channel") or {},
                delivery,
                content,
                base_url=settings.fhir_base,
                at=tools.clock(),
            )
        except ValueError as error:
            return Outcome(f"The channel cannot be used: {error}.")
        async with tools.hook.turn(notification.url):
            # Waiting for a turn must not eat the time that the attempt itself may take.
            if time.monotonic() - self._renewed > MARGIN_SECONDS / 2 and not await self.renew():
                raise ClaimLost
            return await tools.hook.send(notification)

    async def _advance(self, delivery: Delivery) -> None:
        """Go on; written down a few times a second, as a crash may repeat a delivery anyway."""
        self._drain = replace(self._drain, next=delivery.number + 1, trouble=None)
        if time.monotonic() - self._renewed >= SAVE_SECONDS:
            await self._save()

    async def _save(self) -> None:
        """Write down how far we are and hold on to the claim."""
        tools, following = self._tools, self._drain.next
        if following == self._saved:
            return
        if not await tools.deliveries.advance(self._drain, following, tools.lease_seconds):
            raise ClaimLost
        self._saved = following
        self._renewed = time.monotonic()

    async def _fail(self, version: int, delivery: Delivery, outcome: Outcome) -> None:
        tools = self._tools
        now = tools.clock()
        trouble = next_trouble(
            self._drain.trouble,
            version,
            outcome,
            now=now,
            budget=timedelta(seconds=tools.settings.subscription_retry_seconds),
            jitter=random.uniform(0.5, 1),  # noqa: S311 - spreads load, hides nothing
        )
        log.info(
            "notification_failed",
            subscription=delivery.subscription,
            number=delivery.number,
            tries=trouble.tries,
            reason=trouble.text,
        )
        if not await tools.deliveries.stall(self._drain, trouble):
            raise ClaimLost
        self._drain = replace(self._drain, trouble=trouble)
        if trouble.due_at <= now:
            text = (
                f"{trouble.text} Given up after {trouble.tries} attempts since "
                f"{trouble.since.isoformat(timespec='seconds')}; events from {delivery.number} on "
                "wait. Set status to requested to receive them."
            )
            await tools.status.write(plan_error(delivery.subscription, text, version=version))


class ClaimLost(Exception):
    """Another deliverer has taken the Subscription over."""


def next_trouble(
    before: Trouble | None,
    version: int,
    outcome: Outcome,
    *,
    now: datetime,
    budget: timedelta,
    jitter: float,
) -> Trouble:
    """What to remember of a failed attempt.

    Waits double from half a second to five minutes, each shortened by up to a half so that many
    do not come at once; the last attempt is made when the budget is spent. `due_at` is not after
    `now` when there is no further one.
    """
    known = before if before is not None and before.version == version else None
    since = known.since if known else now
    tries = (known.tries if known else 0) + 1
    doubled = FIRST_BACKOFF_SECONDS * 2.0 ** min(tries - 1, 30)
    wait = jitter * min(LONGEST_BACKOFF_SECONDS, doubled)
    if outcome.retry_after is not None:
        wait = max(wait, float(outcome.retry_after))
    due_at = min(now + timedelta(seconds=wait), since + budget)
    return Trouble(version, since, tries, due_at, outcome.error or "")

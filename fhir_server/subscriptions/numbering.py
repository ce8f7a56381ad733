"""Numbers for events: the state of all Subscriptions at one position of the outbox, moved forward.

Nothing here waits or fails halfway: a batch is worked out in memory, and if it cannot be committed
the whole state is thrown away and read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from fhir_server.definitions.registry import Registry
from fhir_server.fhir import codec
from fhir_server.fhir.errors import FhirError
from fhir_server.settings import Settings
from fhir_server.store.events import Event, Numbered
from fhir_server.subscriptions.lifecycle import Followed
from fhir_server.subscriptions.matcher import Matcher

log = structlog.get_logger()

SUBSCRIPTION = "Subscription"


@dataclass(slots=True)
class Step:
    """What a run of events amounts to.

    Attributes:
        numbered: the events to be told, in order.
        changed: the Subscriptions of which something other than `last` has changed.
        requested: Subscriptions to be turned on.
        broken: Subscriptions whose criteria can no longer be evaluated, and why.
    """

    numbered: list[Numbered] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    requested: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)


class Numbering:
    """Every Subscription as of one position."""

    def __init__(
        self, registry: Registry, settings: Settings, known: Iterable[Followed], now: datetime
    ) -> None:
        self._matcher = Matcher(registry, settings)
        self._followed: dict[str, Followed] = {}
        self.broken: dict[str, str] = {}
        for followed in known:
            self._followed[followed.id] = followed
            self._watch(followed, now, self.broken)

    @property
    def watched(self) -> int:
        """How many Subscriptions one event can concern at most; 1 if none."""
        return self._matcher.most

    def requested(self, now: datetime) -> list[str]:
        """The Subscriptions that wait to be turned on."""
        return [one.id for one in self._followed.values() if one.asks(now)]

    def needed(self, events: Sequence[Event]) -> list[Event]:
        """The events whose content must be at hand for `step`."""
        if any(event.type == SUBSCRIPTION for event in events):
            return list(events)
        watched = self._matcher.types
        return [event for event in events if event.type in watched]

    def step(self, events: Sequence[Event], contents: Mapping[str, bytes]) -> Step:
        """Move on over some events, in order.

        Args:
            events: the next ones of the outbox.
            contents: the stored bytes of the versions that `needed` names, by event key.
        """
        done = Step()
        for event in events:
            content = contents.get(event.key)
            for subscription in self._matched(event, content):
                followed = self._followed[subscription]
                followed = replace(followed, last=followed.last + 1)
                self._followed[subscription] = followed
                done.numbered.append(Numbered(subscription, followed.last, event))
            if event.type == SUBSCRIPTION:
                self._follow(event, content, done)
        return done

    def document(self, subscription: str) -> dict[str, Any]:
        """What is remembered of a Subscription in `sequences`."""
        return self._followed[subscription].document

    def _matched(self, event: Event, content: bytes | None) -> list[str]:
        try:
            return self._matcher.match(event, content)
        except Exception:  # one resource that cannot be judged must not stop all the others
            log.exception("event_not_matched", event=event.key)
            return []

    def _follow(self, event: Event, content: bytes | None, done: Step) -> None:
        known = self._followed.get(event.id, Followed(event.id))
        resource = None if content is None else codec.decode(content)
        followed = known.after(event, resource)
        self._followed[event.id] = followed
        done.changed.add(event.id)
        if followed.asks(event.at):
            done.requested.add(event.id)
        self._watch(followed, event.at, done.broken)

    def _watch(self, followed: Followed, now: datetime, broken: dict[str, str]) -> None:
        try:
            self._matcher.follow(followed, now)
        except FhirError as error:
            broken[followed.id] = f"The criteria cannot be evaluated: {error.diagnostics}"

"""Which Subscriptions an event concerns.

Criteria are a search, read as if appended to the base and applied to the new version
(https://hl7.org/fhir/R4/subscription-definitions.html#Subscription.criteria). Nothing is told of a
deletion, nor when a resource stops matching.
"""

from dataclasses import dataclass
from datetime import datetime

from fhir_server.definitions.registry import Registry
from fhir_server.fhir import codec
from fhir_server.search.index import build_index
from fhir_server.search.predicate import matches
from fhir_server.search.request import SearchRequest
from fhir_server.settings import Settings
from fhir_server.store.events import Event
from fhir_server.subscription_rules import parse_criteria
from fhir_server.subscriptions.lifecycle import Followed


@dataclass(frozen=True, slots=True)
class Watch:
    """A counting Subscription with its criteria compiled."""

    subscription: str
    type: str
    request: SearchRequest
    end: datetime | None


class Matcher:
    """The counting Subscriptions of one tenant, by the type they watch."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._by_type: dict[str, dict[str, Watch]] = {}
        self._types: dict[str, str] = {}

    @property
    def types(self) -> frozenset[str]:
        """The types that somebody watches: only their versions need to be loaded."""
        return frozenset(kind for kind, watches in self._by_type.items() if watches)

    @property
    def most(self) -> int:
        """How many Subscriptions watch the most watched type; at least 1."""
        return max((len(watches) for watches in self._by_type.values()), default=0) or 1

    def follow(self, followed: Followed, now: datetime) -> None:
        """Watch for a Subscription as it is now, or no longer.

        Raises:
            FhirError: the criteria can no longer be evaluated; it is not watched for.
        """
        self._forget(followed.id)
        if not followed.counting:
            return
        request = parse_criteria(self._registry, self._settings, followed.criteria, now)
        watch = Watch(followed.id, request.type, request, followed.end)
        self._by_type.setdefault(request.type, {})[followed.id] = watch
        self._types[followed.id] = request.type

    def match(self, event: Event, content: bytes | None) -> list[str]:
        """The Subscriptions to which the event is to be told, by id.

        Args:
            event: any event.
            content: the stored bytes of its version; needed when its type is watched.
        """
        watches = self._by_type.get(event.type)
        if not watches or event.op == "delete" or content is None:
            return []
        definition = self._registry.types[event.type]
        index = build_index(definition, codec.decode(content), self._settings.fhir_base)
        return [
            watch.subscription
            for watch in watches.values()
            if (watch.end is None or event.at < watch.end) and matches(watch.request, index.ix)
        ]

    def _forget(self, subscription: str) -> None:
        kind = self._types.pop(subscription, None)
        if kind is not None:
            del self._by_type[kind][subscription]

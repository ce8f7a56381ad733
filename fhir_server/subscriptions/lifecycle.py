"""The life of a Subscription: what the stream of its versions means, and who changes its status.

The client asks (`requested`), the server answers (`active`), failures make it `error`, the end
makes it `off`, and only the client asks again: a client that is not told of `error` would not know
that it missed events (https://hl7.org/fhir/R4/subscription.html#status).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from fhir_server.context import Clock, Principal, RequestContext
from fhir_server.fhir.dates import parse_instant
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide, Plan, View, Write
from fhir_server.store.events import Event
from fhir_server.store.store import Store

SYSTEM = Principal("fhir-server", "system/*.cruds", "fhir-server", "This server")
"""Who turns Subscriptions on and off when no client does."""

MAX_ERROR_TEXT = 500


@dataclass(frozen=True, slots=True)
class Followed:
    """A Subscription as the sequencer knows it at one position of the stream.

    Attributes:
        version: the Subscription's version that this follows.
        status: the resource's status, or `deleted`.
        counting: whether its events are numbered now.
        last: the highest number given.
        start: numbers below belong to an earlier, deleted Subscription of the same id.
        client: the OAuth client whose write was the last one.
        scope: the scopes of that write.
    """

    id: str
    version: int = 0
    status: str = ""
    criteria: str = ""
    end: datetime | None = None
    counting: bool = False
    last: int = 0
    start: int = 1
    client: str = ""
    scope: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """What a `sequences` document says."""
        known = {name: row[name] for name in _FIELDS if name in row}
        return cls(id=row["_id"], **known)

    @property
    def document(self) -> dict[str, Any]:
        """The `sequences` document, without its id."""
        return {name: getattr(self, name) for name in _FIELDS}

    def ended(self, now: datetime) -> bool:
        """Whether its `end` has passed."""
        return self.end is not None and self.end <= now

    def asks(self, now: datetime) -> bool:
        """Whether it waits to be turned on."""
        return self.status == "requested" and not self.ended(now)

    def after(self, event: Event, resource: Resource | None) -> "Followed":
        """What it is once a version of it has come by in the stream; None is a deletion."""
        owned = self
        if event.client != SYSTEM.client_id:
            owned = replace(self, client=event.client, scope=event.scope)
        if resource is None:
            return replace(
                owned,
                version=event.version,
                status="deleted",
                counting=False,
                start=self.last + 1,
            )
        seen = replace(
            owned,
            version=event.version,
            status=str(resource.get("status", "")),
            criteria=str(resource.get("criteria", "")),
            end=end_of(resource),
        )
        return replace(seen, counting=_counts(self, seen, event.at))


_FIELDS = (
    "version",
    "status",
    "criteria",
    "end",
    "counting",
    "last",
    "start",
    "client",
    "scope",
)


def _counts(before: Followed, seen: Followed, at: datetime) -> bool:
    """Whether events after this version are numbered: from `active` until `off`, the end or 410.

    In `error` and while it is asked for again, counting goes on, so that nothing is missed.
    """
    if seen.ended(at) or seen.status == "off":
        return False
    return seen.status == "active" or before.counting


def end_of(resource: Resource) -> datetime | None:
    """When the Subscription turns off."""
    text = resource.get("end")
    return parse_instant(text).astimezone(UTC) if isinstance(text, str) else None


class StatusWriter:
    """Writes Subscriptions as the server itself, on the one write path."""

    def __init__(
        self, store: Store, *, tenant: str, base_url: str, clock: Clock, new_id: IdSource
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._base_url = base_url
        self._clock = clock
        self._new_id = new_id

    async def write(self, decide: Decide) -> bool:
        """Run a decision of this module.

        Returns:
            Whether anything was written.

        Raises:
            Transient: MongoDB is not available.
        """
        now = self._clock()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        ctx = RequestContext(self._tenant, self._base_url, SYSTEM, now, self._new_id())
        committed = await self._store.run(ctx, decide, interaction="update")
        return bool(committed.versions)


def plan_activation(subscription: str) -> Decide:
    """Turn a requested Subscription on; nothing if it is not requested any more.

    The version written here is the exact start: what commits later is told, nothing before.
    """

    def decide(view: View) -> Plan:
        found = _live(view, subscription)
        if found is None or found[1].get("status") != "requested":
            return Plan()
        end = end_of(found[1])
        if end is not None and end <= view.now:
            return Plan()
        return _with_status(*found, "active", None)

    return decide


def plan_error(subscription: str, text: str, *, version: int | None = None) -> Decide:
    """Set a Subscription's status to `error`, with the reason.

    Args:
        subscription: its id.
        text: what went wrong, for the subscriber.
        version: leave any other version alone: its client has just changed something.
    """

    def decide(view: View) -> Plan:
        found = _live(view, subscription)
        if found is None or found[1].get("status") not in {"active", "requested"}:
            return Plan()
        if version is not None and found[0] != version:
            return Plan()
        return _with_status(*found, "error", text[:MAX_ERROR_TEXT])

    return decide


def plan_end(subscription: str) -> Decide:
    """Turn a Subscription off whose `end` has passed; nothing if it was moved meanwhile."""

    def decide(view: View) -> Plan:
        found = _live(view, subscription)
        if found is None or found[1].get("status") == "off":
            return Plan()
        end = end_of(found[1])
        if end is None or end > view.now:
            return Plan()
        return _with_status(*found, "off", None)

    return decide


def _live(view: View, subscription: str) -> tuple[int, Resource] | None:
    stored = view.get("Subscription", subscription)
    if stored is None or stored.deleted:
        return None
    return stored.version, stored.resource


def _with_status(version: int, resource: Resource, status: str, error: str | None) -> Plan:
    changed = {name: value for name, value in resource.items() if name not in {"error", "_error"}}
    changed["status"] = status
    if error is not None:
        changed["error"] = error
    write = Write("Subscription", resource["id"], "update", changed, "PUT", version)
    return Plan(writes=(write,))

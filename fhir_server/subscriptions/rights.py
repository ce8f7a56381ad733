"""What the holder of a Subscription may see now, asked again before every notification.

A Subscription outlives the token it was made with; it keeps that token's rights, and loses them
when the client does.
"""

import time
from dataclasses import dataclass

from fhir_server.auth.restrictions import Restrictions
from fhir_server.context import Principal
from fhir_server.definitions.registry import Registry
from fhir_server.fhir import codec
from fhir_server.fhir.errors import FhirError
from fhir_server.settings import Settings
from fhir_server.store.clients import Clients
from fhir_server.store.deliveries import Subscribed
from fhir_server.store.events import Event

REMEMBER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Seen:
    until: float
    allowed: bool


class Rights:
    """Judges deliveries; remembers for two seconds which clients are revoked."""

    def __init__(self, registry: Registry, settings: Settings, clients: Clients) -> None:
        self._restrictions = Restrictions(registry, settings)
        self._clients = clients
        self._base_url = settings.fhir_base
        self._seen: dict[str, _Seen] = {}

    async def refusal(self, subscribed: Subscribed, event: Event, content: bytes) -> str | None:
        """Why the event must not be told; None when it may be.

        Raises:
            Transient: MongoDB is not available.
        """
        if not await self._is_active(subscribed.client):
            return "client-revoked"
        principal = Principal(subscribed.client, subscribed.scope, subscribed.client)
        try:
            found = self._restrictions.of(principal, event.type, "read", self._base_url)
        except FhirError:
            return "scope"
        if found is not None and not found.admits_resource(codec.decode(content)):
            return "scope-constraint"
        return None

    async def _is_active(self, client_id: str) -> bool:
        now = time.monotonic()
        seen = self._seen.get(client_id)
        if seen is None or seen.until < now:
            found = await self._clients.find(client_id)
            # An operator's token belongs to no registered client; there is nothing to revoke.
            allowed = bool(client_id) and (found is None or found.revoked is None)
            seen = self._seen[client_id] = _Seen(now + REMEMBER_SECONDS, allowed)
        return seen.allowed

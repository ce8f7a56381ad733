"""Who asks, for which tenant, and when: fixed at the edge, immutable from there on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present as an aware datetime in UTC. The only way the server learns the time."""


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of an access token.

    Attributes:
        client_id: the OAuth client.
        scope: the granted scopes, SMART v2, space separated, as in the token response.
        token_id: the token's public id (never the token), for audit.
        display: a name for the audit trail, without patient data.
    """

    client_id: str
    scope: str
    token_id: str
    display: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """By which a repeated request is known.

    Attributes:
        id: a digest of the client and its key.
        digest: of what is asked; the same key with another one is refused.
    """

    id: str
    digest: str


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What every layer needs to know of a request.

    Attributes:
        tenant: the tenant's name, for example `default`.
        base_url: the FHIR base of this tenant, without a trailing slash.
        principal: who asks; None only for anonymous routes.
        now: the instant the request arrived, aware, UTC, whole milliseconds.
        request_id: echoed as X-Request-Id, in logs and audit.
        idempotency: the key, if the request has one.
    """

    tenant: str
    base_url: str
    principal: Principal | None
    now: datetime
    request_id: str
    address: str = field(default="")
    idempotency: IdempotencyKey | None = None

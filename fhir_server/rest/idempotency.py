"""The header Idempotency-Key: a create or an operation that may be repeated without harm.

After draft-ietf-httpapi-idempotency-key-header: the key is the client's, of any form; the same key
with another request is refused.
"""

import hashlib
import re
from typing import Final

from fhir_server.context import IdempotencyKey, RequestContext
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.errors import Invalid
from fhir_server.fhir.exchange import Request
from fhir_server.fhir.types import Json, Resource

HEADER: Final = b"idempotency-key"
_LEGAL = re.compile(r"[\x21-\x7e]{1,255}")


class ReadBody:
    """A body that was read already."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def resource(self) -> Resource:
        """The parsed resource."""
        return self._resource

    async def patch(self) -> list[Json] | Resource:
        """The same; nobody patches with a key."""
        return self._resource


def idempotency_key(ctx: RequestContext, request: Request, resource: Resource) -> IdempotencyKey:
    """The key of a request that has the header.

    Raises:
        Invalid: it is empty, too long, or has characters that headers should not have.
    """
    given = request.header(HEADER) or ""
    if not _LEGAL.fullmatch(given):
        raise Invalid("Idempotency-Key must have 1 to 255 visible ASCII characters")
    client = ctx.principal.client_id if ctx.principal else ""
    asked = [
        request.interaction,
        request.operation,
        request.type,
        request.id,
        request.header(b"if-none-exist") or "",
    ]
    return IdempotencyKey(
        _digest(f"{len(client)}:{client}{given}".encode()),
        _digest("\n".join(asked).encode() + b"\n" + encode_json(resource)),
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

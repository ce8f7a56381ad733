"""Access tokens on requests (RFC 6750): who asks, at the cost of one look-up a second."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fhir_server.context import Clock, Principal, system_clock
from fhir_server.fhir.errors import Login
from fhir_server.store.tokens import Grant, Tokens

CACHE_SECONDS: Final = 1.0
"""How long an answer is remembered: a revoked token is refused everywhere after at most this
plus one look-up, which keeps the promise of two seconds."""

MAX_REMEMBERED: Final = 10_000

# 256 random bits in base64url are 43 characters; anything else needs no look-up.
_CREDENTIALS: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal | None
    expires: datetime | None
    until: float


class Authenticator:
    """Turns an Authorization header into a principal; one per process.

    Args:
        tokens: the issued tokens.
        clock: for the tokens' expiry.
        monotonic: seconds of a timer that never goes back, for the memory.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        clock: Clock = system_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def authenticate(self, authorization: str | None) -> Principal:
        """Who sends a request with this Authorization header.

        Raises:
            Login: there is no header, it is malformed, or the token is unknown, revoked or
                expired.
            Transient: the database cannot be reached.
        """
        if authorization is None:
            raise Login("an access token is required: Authorization: Bearer …")
        known = self._known.get(authorization)
        if known is None or known.until <= self._monotonic():
            known = await self._look_up(authorization)
        if known.principal is None or known.expires is None or known.expires <= self._clock():
            raise Login(
                "the access token is unknown, revoked or has expired; get a new one",
                challenge=_INVALID,
            )
        return known.principal

    async def _look_up(self, authorization: str) -> _Known:
        found = _CREDENTIALS.fullmatch(authorization)
        if found is None:
            raise Login("the Authorization header must be: Bearer <token>", challenge=_INVALID)
        task = self._asking.get(authorization)
        if task is None:
            # Requests that arrive together share one look-up; one that is cancelled must not
            # cancel it for the others.
            task = asyncio.create_task(self._ask(authorization, found[1]))
            self._asking[authorization] = task
            task.add_done_callback(lambda _: self._asking.pop(authorization, None))
        return await asyncio.shield(task)

    async def _ask(self, authorization: str, token: str) -> _Known:
        # The moment before the look-up counts: the answer may be old when it arrives.
        until = self._monotonic() + CACHE_SECONDS
        known = _known(await self._tokens.find(token, now=self._clock()), until)
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[authorization] = known
        return known


_INVALID: Final = 'Bearer error="invalid_token"'


def _known(grant: Grant | None, until: float) -> _Known:
    if grant is None:
        return _Known(None, None, until)
    principal = Principal(grant.client_id, grant.scope, grant.token_id, grant.display)
    return _Known(principal, grant.expires, until)

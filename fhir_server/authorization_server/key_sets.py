"""Clients' key sets, fetched from where they publish them, and kept no longer than they allow.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from fhir_server import outbound
from fhir_server.auth.keys import Jwk, KeySetError, parse_key_set, select
from fhir_server.settings import Settings

TIMEOUT_SECONDS: Final = 5.0
MAX_BYTES: Final = 64_000
MAX_AGE_SECONDS: Final = 600
DEFAULT_AGE_SECONDS: Final = 300
COOLDOWN_SECONDS: Final = 10.0
"""How soon a key set is fetched again because it lacks a key, or because fetching it failed: a
flood of assertions with invented keys costs the client's server one request in this time."""

_CHUNK: Final = 8_192
_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"(?:^|[,\s])(?:no-store|no-cache)(?:$|[,;\s=])", re.IGNORECASE)


class KeySetUnavailableError(Exception):
    """The key set cannot be had; the message is for the log."""


@dataclass(slots=True)
class _Known:
    keys: Sequence[Jwk] = ()
    fresh_until: float = 0.0
    asked_at: float = field(default=float("-inf"))
    failure: str | None = None
    fetch: asyncio.Task[Sequence[Jwk]] | None = None


class KeySets:
    """Fetches and remembers key sets; one per process.

    Args:
        settings: whether loopback addresses may be fetched from.
        monotonic: seconds of a timer that never goes back.
    """

    def __init__(
        self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._session: aiohttp.ClientSession | None = None

    async def find(self, url: str, key_id: str, algorithm: str) -> list[Jwk]:
        """The keys at a client's registered URL that fit; more than one is as bad as none.

        Raises:
            KeySetUnavailableError: the key set cannot be fetched, or is none.
        """
        known = self._known.setdefault(url, _Known())
        now = self._monotonic()
        cooling = now < known.asked_at + COOLDOWN_SECONDS
        if now < known.fresh_until:
            found = select(known.keys, key_id, algorithm)
            if found or cooling:
                return found
        elif known.failure is not None and cooling:
            raise KeySetUnavailableError(known.failure)
        return select(await self._fetch_once(url, known), key_id, algorithm)

    async def close(self) -> None:
        """Let go of every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _fetch_once(self, url: str, known: _Known) -> Sequence[Jwk]:
        """Fetch, unless somebody is doing so already: then wait for theirs."""
        if known.fetch is None:
            known.fetch = asyncio.create_task(self._fetch(url, known))
            known.fetch.add_done_callback(lambda _: setattr(known, "fetch", None))
        return await asyncio.shield(known.fetch)

    async def _fetch(self, url: str, known: _Known) -> Sequence[Jwk]:
        known.asked_at = self._monotonic()
        known.fresh_until = 0.0
        try:
            outbound.check_url(url, self._settings)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                body, seconds = await self._download(url)
            known.keys = parse_key_set(body)
        except (aiohttp.ClientError, OSError, ValueError, KeySetError) as error:
            known.failure = f"{url}: {str(error) or type(error).__name__}"
            raise KeySetUnavailableError(known.failure) from error
        known.failure = None
        known.fresh_until = known.asked_at + seconds
        return known.keys

    async def _download(self, url: str) -> tuple[bytes, float]:
        if self._session is None:
            self._session = outbound.session(self._settings)
        async with self._session.get(url, headers={"Accept": "application/json"}) as response:
            if response.status != 200:
                raise KeySetError(f"answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise KeySetError(f"the key set is larger than {MAX_BYTES} bytes")
            control = ", ".join(response.headers.getall("Cache-Control", []))
            return bytes(body), freshness(control, response.headers.get("Age", "0"))


def freshness(cache_control: str, age: str) -> float:
    """For how many seconds an answer may be kept (RFC 9111), ten minutes at most."""
    if _NOT_KEPT.search(cache_control):
        return 0.0
    found = _MAX_AGE.search(cache_control)
    seconds = int(found[1]) if found else DEFAULT_AGE_SECONDS
    spent = int(age) if age.isdecimal() and age.isascii() and len(age) < 10 else 0
    return float(max(0, min(seconds - spent, MAX_AGE_SECONDS)))

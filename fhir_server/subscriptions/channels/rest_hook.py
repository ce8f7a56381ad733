"""The rest-hook channel: one HTTP request per event, 2xx or it has failed."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from fhir_server import __version__, outbound
from fhir_server.settings import Settings
from fhir_server.subscriptions.notification import Notification

PER_HOST = 32
"""Requests in flight to one host: many Subscriptions may name the same dead one."""

READ_BYTES = 16_384
LONGEST_WAIT_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        error: what went wrong, for the subscriber; None on success.
        retry_after: seconds that the endpoint asked to wait, if it did.
    """

    error: str | None = None
    retry_after: int | None = None

    @property
    def accepted(self) -> bool:
        """Whether the endpoint has taken the notification."""
        return self.error is None


class RestHook:
    """Sends notifications; one per process, inside a running loop."""

    def __init__(self, settings: Settings) -> None:
        self._session = outbound.session(settings)
        self._timeout = aiohttp.ClientTimeout(total=settings.subscription_timeout_seconds)
        self._hosts: defaultdict[tuple[str | None, int | None], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(PER_HOST)
        )

    def turn(self, url: str) -> asyncio.Semaphore:
        """What to hold while sending to the URL's host."""
        parsed = URL(url)
        return self._hosts[parsed.host, parsed.port]

    async def send(self, notification: Notification) -> Outcome:
        """Make one attempt. A redirect and a late answer are failures."""
        headers = CIMultiDict({"User-Agent": f"fhir-server/{__version__}"})
        for name, value in notification.headers:
            if name.lower() == "user-agent":
                headers.popall("User-Agent", None)
            headers.add(name, value)
        try:
            async with self._session.request(
                notification.method,
                notification.url,
                headers=headers,
                data=notification.body,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                # Read a little, so that a short answer leaves the connection usable.
                await response.content.read(READ_BYTES)
                if 200 <= response.status < 300:
                    return Outcome()
                return Outcome(
                    f"The endpoint answered {response.status}.",
                    _seconds(response.headers.get("Retry-After")),
                )
        except TimeoutError:
            return Outcome(f"The endpoint did not answer within {self._timeout.total} seconds.")
        except outbound.RedirectRefusedError:
            return Outcome("The endpoint answered with a redirect, which is not followed.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(f"The endpoint could not be reached: {_reason(error)}.")

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def _seconds(text: str | None) -> int | None:
    """Retry-After in seconds; a date is not worth a parser, the backoff does as well."""
    if text is None or not text.strip().isdecimal():
        return None
    return min(int(text.strip()), LONGEST_WAIT_SECONDS)


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, outbound.AddressRefusedError):
            return "its address is not public"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "its certificate is not valid"
    return {
        "ClientConnectorDNSError": "its name cannot be resolved",
        "ClientConnectorError": "nothing answers at its address",
        "ServerDisconnectedError": "it closed the connection",
    }.get(type(error).__name__, type(error).__name__)

"""A subscriber's rest-hook endpoint on a loopback port: takes notifications and remembers them."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from fhir_server.fhir import codec
from fhir_server.fhir.types import Resource


@dataclass(frozen=True, slots=True)
class Notification:
    """One delivery.

    Attributes:
        number: the subscription's own count, from the header.
        resource: what was sent.
    """

    number: str
    resource: Resource


@dataclass(slots=True)
class Receiver:
    """Accepts every notification; `url` is known once it is entered."""

    url: str = ""
    notifications: list[Notification] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listens on a free port of 127.0.0.1."""
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/hook"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops listening."""
        if self._runner:
            await self._runner.cleanup()

    async def wait_for(self, count: int, seconds: float) -> None:
        """Waits until `count` notifications are here.

        Raises:
            TimeoutError: they did not all come in time.
        """
        async with asyncio.timeout(seconds):
            while len(self.notifications) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        number = request.headers.get("X-Subscription-Event-Number", "")
        self.notifications.append(Notification(number, codec.decode(body) if body else {}))
        self._arrived.set()
        return web.Response(status=200)

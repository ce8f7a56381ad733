"""An endpoint for notifications of Appointments, on a loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import httptools
import orjson

from benchmarks.resources import Json

_UNREADABLE_BYTES = 300
_REASONS = {200: "OK", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A notification.

    Attributes:
        at: `time.perf_counter_ns` when its last byte was there.
        refused: whether it was answered with 503.
    """

    at: int
    id: str
    version: str | None
    description: str
    refused: bool
    headers: Mapping[str, str]


class Receiver:
    """Remembers what comes and when; can refuse the first delivery of chosen appointments.

    Attributes:
        refuse: descriptions whose first delivery is answered 503.
        refused: when that happened, by description.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.refuse: set[str] = set()
        self.refused: dict[str, int] = {}
        self.unreadable: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listens; port 0 takes a free one."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Protocol(self), "127.0.0.1", port)
        self._server, self.port = server, server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listens no longer."""
        if self._server is not None:
            self._server.close()

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Remembers a notification and answers the status for it."""
        now = time.perf_counter_ns()
        resource = appointment_in(body)
        if resource is None:
            self.unreadable.append(body[:_UNREADABLE_BYTES])
            return 200
        description = resource.get("description", "")
        refused = description in self.refuse and description not in self.refused
        if refused:
            self.refused[description] = now
        version = resource.get("meta", {}).get("versionId")
        self.arrivals.append(
            Arrival(now, resource["id"], version, description, refused, dict(headers))
        )
        return 503 if refused else 200


def appointment_in(body: bytes) -> Json | None:
    """The Appointment that is the body, or the first in a notification Bundle (R5 backport)."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    found = [value]
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        found = [entry.get("resource") for entry in value.get("entry", [])]
    for each in found:
        if isinstance(each, dict) and each.get("resourceType") == "Appointment":
            return each
    return None


class _Protocol(asyncio.Protocol):
    """Speaks just enough HTTP for a server that delivers."""

    transport: asyncio.Transport

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._new()

    def _new(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if name.lower() == b"expect":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        keep = self.parser.should_keep_alive()
        status = self.receiver.take(self.headers, b"".join(self.chunks))
        self.transport.write(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-length: 0\r\n"
            f"connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
        )
        if keep:
            asyncio.get_running_loop().call_soon(self._new)
        else:
            self.transport.close()

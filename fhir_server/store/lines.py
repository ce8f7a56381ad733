"""Plain connections to the primary, for commands that only read.

Sessions, server selection, retries and cancellation make the driver spend more on a short command
than MongoDB does. A line does none of that: it sends one command at a time and hands out the
reply. Whatever is not a plain reply (no primary, a lost connection, an error) is for the driver,
which is asked the same again and knows what to do. Nothing is lost by that, because nothing is
written this way.

https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
"""

import asyncio
import itertools
import struct
from collections.abc import Callable
from typing import Any, Final, Self

import bson
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.errors import ExecutionTimeout, NetworkTimeout
from pymongo.uri_parser import parse_uri

Document = dict[str, Any]
Address = tuple[str, int]

MOST_LINES: Final = 64
"""Per process. While all are busy, the driver's own connections carry the rest."""

REPLY_SECONDS: Final = 30.0
"""Longer than any search may take."""

_CONNECT_SECONDS: Final = 3.0
_TRUST_SECONDS: Final = 1.0
"""How long the primary is taken to be the one the driver named, and a failed connection to fail."""

# What an address may ask for without making plain connections wrong. Logins, TLS and compression
# are not among it.
_PLAIN_OPTIONS: Final = frozenset(
    {"appname", "connecttimeoutms", "directconnection", "replicaset", "serverselectiontimeoutms"}
    | {"sockettimeoutms"}
)
_HEADER: Final = struct.Struct("<iiiiIB")
_LENGTH: Final = struct.Struct("<i")
_OP_MSG: Final = 2013
_TIME_LIMIT_EXCEEDED: Final = 50


class Client(AsyncMongoClient[Document]):
    """The driver's client, with lines beside it.

    Attributes:
        lines: None when the address of the database demands more than they can do.
    """

    lines: "Lines | None"

    def __init__(self, url: str, **options: Any) -> None:
        """As the driver's; the options must not ask for a login or TLS."""
        super().__init__(url, **options)
        self.lines = Lines(self._find_primary) if _is_plain(url) else None

    def _find_primary(self) -> Address | None:
        for address, server in self.topology_description.server_descriptions().items():
            host, port = address
            # A socket in the file system has no port.
            if server.server_type_name == "RSPrimary" and port:
                return host, port
        return None

    async def close(self) -> None:
        """Let go of every socket."""
        if self.lines is not None:
            self.lines.close()
        await super().close()


class Lines:
    """The idle lines of a process, and how to get more.

    Args:
        primary: the address of the present primary, as far as the driver knows.
    """

    def __init__(self, primary: Callable[[], Address | None]) -> None:
        self._primary = primary
        self._address: Address | None = None
        self._trusted_until = 0.0
        self._idle: list[_Line] = []
        self._count = 0

    async def ask(
        self, database: str, command: Document, codec: CodecOptions[Document]
    ) -> Document | None:
        """The reply to a command that only reads; None when the driver must be asked.

        Raises:
            ExecutionTimeout: the command's own `maxTimeMS` is over.
            NetworkTimeout: MongoDB does not answer.
        """
        message = bson.encode({**command, "$db": database})
        line = await self._take()
        if line is None:
            return None
        try:
            reply: Document = bson.decode(await line.exchange(message), codec)
        except OSError:
            self._drop(line)
            return None
        except BaseException:
            # The reply may still come, and must not be taken for the next one.
            self._drop(line)
            raise
        if reply["ok"] == 1:
            self._put_back(line)
            return reply
        self._drop(line)
        if reply.get("code") == _TIME_LIMIT_EXCEEDED:
            raise ExecutionTimeout(reply["errmsg"], _TIME_LIMIT_EXCEEDED, reply)
        return None

    def close(self) -> None:
        """Let go of every idle socket."""
        for line in self._idle:
            line.close()
        self._count -= len(self._idle)
        self._idle.clear()
        self._address = None

    async def _take(self) -> "_Line | None":
        now = asyncio.get_running_loop().time()
        if now >= self._trusted_until:
            self._trusted_until = now + _TRUST_SECONDS
            address = self._primary()
            if address != self._address:
                self.close()
                self._address = address
        while self._idle:
            line = self._idle.pop()
            if not line.lost:
                return line
            self._count -= 1
        return await self._open()

    async def _open(self) -> "_Line | None":
        address = self._address
        if address is None or self._count >= MOST_LINES:
            return None
        self._count += 1
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await _Line.open(*address)
        except OSError:
            self._address = None
        except BaseException:
            self._count -= 1
            raise
        self._count -= 1
        return None

    def _put_back(self, line: "_Line") -> None:
        if line.address == self._address:
            self._idle.append(line)
        else:
            self._drop(line)

    def _drop(self, line: "_Line") -> None:
        line.close()
        self._count -= 1


class _Line(asyncio.Protocol):
    """One connection; one exchange at a time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._missing = 0
        self._numbers = itertools.count(1)
        self._number = 0
        self._reply: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect to a primary.

        Raises:
            OSError: nobody answers there, or it is not the primary.
        """
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: cls((host, port)), host, port)
        try:
            hello = bson.decode(await line.exchange(bson.encode({"hello": 1, "$db": "admin"})))
        except BaseException:
            line.close()
            raise
        if not hello.get("isWritablePrimary"):
            line.close()
            raise ConnectionError("it is not the primary")
        return line

    async def exchange(self, message: bytes) -> bytes:
        """Send an encoded command; the encoded reply.

        Raises:
            OSError: the connection is lost.
            NetworkTimeout: no reply in time.
        """
        if self._transport is None or self.lost:
            raise ConnectionError("the connection is lost")
        loop = asyncio.get_running_loop()
        self._number = next(self._numbers)
        self._parts.clear()
        self._missing = 0
        reply: asyncio.Future[bytes] = loop.create_future()
        self._reply = reply
        deadline = loop.call_later(REPLY_SECONDS, self._expire)
        size = _HEADER.size + len(message)
        self._transport.write(_HEADER.pack(size, self._number, 0, _OP_MSG, 0, 0) + message)
        try:
            return await reply
        finally:
            deadline.cancel()
            self._reply = None

    def close(self) -> None:
        """Hang up."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
        # The header could be torn apart only if less than a packet came of it.
        length = _LENGTH.unpack_from(data)[0] if len(data) >= _HEADER.size else _HEADER.size
        if len(data) < length:
            self._parts[:] = [data]
            self._missing = length - len(data)
            return
        self._parts.clear()
        self._finish(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        self.lost = True
        self._fail(ConnectionError("the connection was lost"))

    def _finish(self, data: bytes) -> None:
        length, _, answered, kind, flags, section = _HEADER.unpack_from(data)
        expected = (len(data), self._number, _OP_MSG, 0, 0)
        if (length, answered, kind, flags, section) != expected:
            self.close()
            self._fail(ConnectionError("an unexpected message"))
        elif self._reply is not None and not self._reply.done():
            self._reply.set_result(data[_HEADER.size :])

    def _expire(self) -> None:
        self._fail(NetworkTimeout("MongoDB did not answer in time"))

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)


def _is_plain(url: str) -> bool:
    if not url.startswith("mongodb://"):
        return False
    parsed = parse_uri(url)
    asked = {name.lower() for name in parsed["options"]}
    return not parsed["username"] and asked <= _PLAIN_OPTIONS

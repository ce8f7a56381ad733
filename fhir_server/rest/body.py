"""Request bodies, read within limits and only when somebody wants them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fhir_server.fhir import codec
from fhir_server.fhir.errors import Invalid, TooLarge
from fhir_server.fhir.types import Json, Resource
from fhir_server.rest.negotiation import (
    check_coding,
    check_form_body,
    check_json_body,
    is_json_patch,
)

PATIENCE_SECONDS = 15.0
"""How long a part of a body may take; who sends nothing must not hold a connection for ever."""

MOST_FORM_BYTES = 16_000
"""Longest form of a search: its alternatives take more work than the bytes of a resource."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class HttpBody:
    """The body of one HTTP request.

    Args:
        receive: ASGI's channel.
        headers: lower-case names.
        max_bytes: largest body that is read.
        max_depth: deepest nesting of JSON.
    """

    __slots__ = ("_headers", "_max_bytes", "_max_depth", "_receive")

    def __init__(
        self, receive: Receive, headers: Mapping[bytes, bytes], max_bytes: int, max_depth: int
    ) -> None:
        self._receive = receive
        self._headers = headers
        self._max_bytes = max_bytes
        self._max_depth = max_depth

    async def resource(self) -> Resource:
        """The parsed resource.

        Raises:
            UnsupportedMediaType: the body does not say that it is FHIR JSON.
            TooLarge: it has more bytes than the settings allow; it is not read to its end.
            Structure, TooLong: it is no JSON object, or nested too deep.
            ClientGone: the rest of it never came.
        """
        check_json_body(self._content_type())
        return codec.parse(await self._read(), max_depth=self._max_depth)

    async def patch(self) -> list[Json] | Resource:
        """The parsed patch document: the array of a JSON Patch, or a FHIRPath Patch's resource.

        Raises:
            UnsupportedMediaType: the body does not say that it is one of these.
            TooLarge, Structure, TooLong, ClientGone: as `resource`.
        """
        content_type = self._content_type()
        if is_json_patch(content_type):
            return codec.parse_list(await self._read(), max_depth=self._max_depth)
        return await self.resource()

    async def form(self) -> str:
        """The text of a form; empty when there is no body at all.

        Raises:
            UnsupportedMediaType, TooLarge, ClientGone: as `resource`.
            Invalid: it is not ASCII, as percent-encoded forms are.
        """
        content_type = self._content_type()
        if content_type is not None:
            check_form_body(content_type)
        body = await self._read()
        if body:
            check_form_body(content_type)
        if len(body) > MOST_FORM_BYTES:
            raise TooLarge(f"The form is longer than {MOST_FORM_BYTES} bytes; ask in parts")
        try:
            return body.decode("ascii")
        except UnicodeDecodeError:
            raise Invalid("The form is not percent-encoded") from None

    def _content_type(self) -> str | None:
        value = self._headers.get(b"content-type")
        return None if value is None else value.decode("latin-1")

    async def _read(self) -> bytes:
        check_coding(self._headers.get(b"content-encoding"))
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _next(self) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._receive()
        except TimeoutError:
            raise Invalid("The rest of the body did not arrive in time") from None

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._max_bytes} bytes")

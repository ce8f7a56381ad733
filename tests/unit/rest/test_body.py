"""Bodies are read within limits."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from fhir_server.fhir.errors import Invalid, TooLarge
from fhir_server.rest import body
from fhir_server.rest.body import ClientGone, HttpBody

JSON = {b"content-type": b"application/json"}


def channel(*messages: MutableMapping[str, Any]) -> body.Receive:
    """Gives the messages in order, and then nothing for ever."""
    left = list(messages)

    async def receive() -> MutableMapping[str, Any]:
        if not left:
            await asyncio.Event().wait()  # a client that has stopped sending
        return left.pop(0)

    return receive


def part(data: bytes, *, more: bool = False) -> MutableMapping[str, Any]:
    """A part of a body."""
    return {"type": "http.request", "body": data, "more_body": more}


async def test_parts_are_joined() -> None:
    """Whatever the chunks."""
    receive = channel(part(b'{"a"', more=True), part(b":1}"))
    assert await HttpBody(receive, JSON, 100, 5).resource() == {"a": 1}


async def test_too_much_is_refused_before_the_rest_is_read() -> None:
    """By its declared length, or as soon as it is too long."""
    declared = {**JSON, b"content-length": b"101"}
    with pytest.raises(TooLarge):
        await HttpBody(channel(), declared, 100, 5).resource()
    with pytest.raises(TooLarge):
        await HttpBody(channel(part(b"x" * 101, more=True)), JSON, 100, 5).resource()


async def test_a_client_that_goes_is_noticed() -> None:
    """In the middle of its body."""
    receive = channel(part(b"{", more=True), {"type": "http.disconnect"})
    with pytest.raises(ClientGone):
        await HttpBody(receive, JSON, 100, 5).resource()


async def test_a_client_that_stops_sending_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not hold a connection for ever."""
    monkeypatch.setattr(body, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(Invalid):
        await HttpBody(channel(part(b"{", more=True)), JSON, 100, 5).resource()

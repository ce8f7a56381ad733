"""The outermost layer: request id, log line, metrics, and every failure made an answer."""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import structlog

from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.ids import IdSource
from fhir_server.observability import request_meter
from fhir_server.rest.body import ClientGone, Receive
from fhir_server.rest.compression import THRESHOLD, compress
from fhir_server.rest.headers import check_once, joined
from fhir_server.rest.response import COMMON_HEADERS, Response, fail, refuse

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CLIENT_GONE = 499


class Exchange:
    """What one HTTP request is known by while it is answered.

    Attributes:
        headers: lower-case names; repeated ones are joined.
        repeats: whether any is repeated.
        interaction, type: labels for logs and metrics, set once the route is known.
        client_id: the OAuth client, once known.
        pretty: whether the answer is indented.
    """

    __slots__ = (
        "client_id", "headers", "interaction", "method", "path", "pretty", "receive",
        "repeats", "request_id", "scope", "type",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, request_id: str) -> None:
        self.scope = scope
        self.receive = receive
        self.request_id = request_id
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.repeats = len(self.headers) != len(scope["headers"])
        if self.repeats:
            self.headers = joined(scope["headers"])
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.interaction = "unknown"
        self.type = ""
        self.client_id = ""
        self.pretty = False


class Endpoint(Protocol):
    """Something that answers requests."""

    async def __call__(self, exchange: Exchange) -> Response:
        """The response.

        Raises:
            FhirError: the request is refused.
            ClientGone: there is nobody to answer any more.
        """
        ...


class Middleware:
    """An ASGI application around an endpoint.

    Args:
        endpoint: answers every request.
        new_id: makes request ids.
    """

    def __init__(self, endpoint: Endpoint, new_id: IdSource) -> None:
        self._endpoint = endpoint
        self._new_id = new_id
        self._meter = request_meter()
        self._log = structlog.get_logger("fhir_server.rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        exchange = Exchange(scope, receive, "")
        exchange.request_id = self._request_id(exchange.headers.get(b"x-request-id"))
        try:
            response = await self._respond(exchange)
        except ClientGone:
            self._record(exchange, _CLIENT_GONE, started)
            return
        accepted = exchange.headers.get(b"accept-encoding")
        if accepted is not None and len(response.body) > THRESHOLD and exchange.method != "HEAD":
            response = await compress(response, accepted)
        headers = response.headers
        headers.extend(COMMON_HEADERS)
        headers.append((b"x-request-id", exchange.request_id.encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if exchange.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})
        self._record(exchange, response.status, started)

    async def mount(
        self, application: Application, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let another ASGI application answer, with the same request id, log line and metrics."""
        started = time.perf_counter()
        exchange = Exchange(scope, receive, "")
        exchange.request_id = self._request_id(exchange.headers.get(b"x-request-id"))
        exchange.interaction = "authorization"
        status = 500

        async def pass_on(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", exchange.request_id.encode())
                message["headers"] = [*message.get("headers", ()), own]
            await send(message)

        await application(scope, receive, pass_on)
        self._record(exchange, status, started)

    async def _respond(self, exchange: Exchange) -> Response:
        try:
            if exchange.repeats:
                check_once(exchange.scope["headers"])
            return await self._endpoint(exchange)
        except FhirError as error:
            return refuse(error, pretty=exchange.pretty)
        except ClientGone:
            raise
        except Exception:  # noqa: BLE001 - a defect of ours; the client must get an answer
            self._log.exception("request_failed", request_id=exchange.request_id)
            return fail(exchange.request_id)

    def _request_id(self, given: bytes | None) -> str:
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return self._new_id()

    def _record(self, exchange: Exchange, status: int, started: float) -> None:
        seconds = time.perf_counter() - started
        self._meter.observe(exchange.interaction, exchange.type, status, seconds)
        self._log.info(
            "request",
            method=exchange.method,
            interaction=exchange.interaction,
            type=exchange.type,
            status=status,
            ms=round(seconds * 1000, 2),
            client=exchange.client_id,
            request_id=exchange.request_id,
        )

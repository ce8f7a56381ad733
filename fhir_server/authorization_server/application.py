"""The authorization server's HTTP surface: `POST /auth/token`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fhir_server.auth.restrictions import Restrictions
from fhir_server.authorization_server.errors import OAuthError
from fhir_server.authorization_server.key_sets import KeySets
from fhir_server.authorization_server.token import PATH, TokenEndpoint
from fhir_server.context import Clock, system_clock
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import Transient
from fhir_server.settings import Settings
from fhir_server.store.clients import Clients
from fhir_server.store.control import ControlDatabase
from fhir_server.store.tokens import Tokens

MAX_BODY_BYTES: Final = 64_000
MAX_FIELDS: Final = 20
BODY_SECONDS: Final = 10.0
FORM: Final = "application/x-www-form-urlencoded"

_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_log = structlog.get_logger(__name__)


def create(
    settings: Settings,
    registry: Registry,
    control: ControlDatabase,
    *,
    clock: Clock = system_clock,
) -> FastAPI:
    """The authorization server as an ASGI application, whose lifespan must be run.

    Args:
        settings: addresses, the life of a token, whether loopback may be fetched from.
        registry: the served types, whose scopes can be granted.
        control: the control database; stays the caller's to close.
        clock: the time.
    """
    tokens, key_sets = Tokens(control), KeySets(settings)
    endpoint = TokenEndpoint(
        Clients(control), tokens, key_sets, Restrictions(registry, settings), settings, clock
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await tokens.prepare()
        yield
        await key_sets.close()

    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)

    @application.post(PATH)
    async def token(request: Request) -> JSONResponse:
        form = parse_form(await _body(request))
        return JSONResponse(await endpoint.answer(form), headers=dict(_HEADERS))

    application.add_exception_handler(OAuthError, _refuse)
    application.add_exception_handler(Transient, _postpone)
    application.add_exception_handler(HTTPException, _refuse_address)
    application.add_exception_handler(ClientDisconnect, _refuse_incomplete)
    application.add_exception_handler(Exception, _apologise)
    return application


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a form; empty ones count as absent (RFC 6749 section 3.2).

    Raises:
        OAuthError: it is not UTF-8, has too many fields, or a field twice.
    """
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=False,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "the form cannot be read") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "a field occurs more than once")
    return form


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise OAuthError("invalid_request", f"the Content-Type must be {FORM}")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise OAuthError("invalid_request", "the body is too large", status=413)
    except TimeoutError as error:
        raise OAuthError("invalid_request", "the body did not arrive", status=408) from error
    return bytes(body)


def _error(error: OAuthError) -> JSONResponse:
    content: dict[str, Any] = {"error": error.code, "error_description": error.description}
    headers = dict(_HEADERS)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(content, error.status, headers)


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OAuthError)  # noqa: S101 - registered for nothing else
    _log.info("token_refused", error=error.code, reason=error.reason)
    return _error(error)


async def _postpone(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Transient)  # noqa: S101 - registered for nothing else
    _log.warning("token_postponed", reason=error.diagnostics)
    return _error(
        OAuthError(
            "temporarily_unavailable",
            "try again later",
            status=503,
            retry_after=error.retry_after,
        )
    )


async def _refuse_address(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    response = _error(OAuthError("invalid_request", error.detail, status=error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _refuse_incomplete(_: Request, error: Exception) -> JSONResponse:
    del error
    return _error(OAuthError("invalid_request", "the request ended early"))


async def _apologise(_: Request, error: Exception) -> JSONResponse:
    _log.error("token_failed", exc_info=error)
    return _error(
        OAuthError("server_error", "the server failed; this is not your fault", status=500)
    )

"""What operators and load balancers ask: alive, ready, metrics."""

from collections.abc import Awaitable, Callable, Mapping

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from fhir_server.fhir.errors import MethodNotAllowed, UnknownAddress
from fhir_server.observability import metrics_text
from fhir_server.rest.endpoint import Authenticate
from fhir_server.rest.middleware import Exchange
from fhir_server.rest.response import Response

Check = Callable[[], Awaitable[str | None]]
"""None when all is well, else what is wrong in a few words, without addresses or secrets."""

Lag = Callable[[], Awaitable[float | None]]


class HealthEndpoint:
    """Answers /health/live, /health/ready and /metrics.

    Args:
        checks: what readiness depends on, by name.
        lag: for how many seconds the oldest event waits to be numbered, None if not known; told,
            but no reason to keep requests away.
        authenticate: /metrics needs a valid token, whatever its scopes.
    """

    def __init__(self, checks: Mapping[str, Check], lag: Lag, authenticate: Authenticate) -> None:
        self._checks = checks
        self._lag = lag
        self._authenticate = authenticate

    async def answer(self, exchange: Exchange, segments: list[str]) -> Response:
        """The response.

        Raises:
            UnknownAddress: no such page.
            MethodNotAllowed: only GET and HEAD are offered.
            Login: /metrics without a valid token.
        """
        if segments not in (["health", "live"], ["health", "ready"], ["metrics"]):
            raise UnknownAddress("There is nothing here; the FHIR base is /fhir")
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Only GET and HEAD are offered", allow=("GET", "HEAD"))
        exchange.interaction = segments[-1]
        if segments == ["metrics"]:
            token = exchange.headers.get(b"authorization")
            await self._authenticate(None if token is None else token.decode("latin-1"))
            return _plain(200, CONTENT_TYPE_LATEST.encode(), metrics_text())
        if segments[1] == "live":
            return _plain(200, b"application/json", b'{"status":"live"}')
        return await self._ready()

    async def _ready(self) -> Response:
        found = {name: await check() for name, check in self._checks.items()}
        is_ready = not any(found.values())
        told = {
            "status": "ready" if is_ready else "not ready",
            "checks": {name: problem or "ok" for name, problem in found.items()},
            "sequencer_lag_seconds": await self._lag(),
        }
        return _plain(200 if is_ready else 503, b"application/json", orjson.dumps(told))


def _plain(status: int, content_type: bytes, body: bytes) -> Response:
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return Response(status, headers, body)

"""The only place that wires HTTP: settings, store, artefacts and endpoints become one ASGI app."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from typing import Any

import orjson
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from fhir_server import operations
from fhir_server.authorization_server import application, discovery
from fhir_server.authorization_server.bearer import Authenticator
from fhir_server.context import Clock, system_clock
from fhir_server.decisions.content import ContentRules
from fhir_server.definitions import loader
from fhir_server.definitions.artefact import ArtefactErrors
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.ids import IdSource, time_ordered_id
from fhir_server.interactions.capabilities import documents
from fhir_server.interactions.create import create as create_interaction
from fhir_server.interactions.delete import delete
from fhir_server.interactions.history_instance import history_instance
from fhir_server.interactions.history_system import history_system
from fhir_server.interactions.history_type import history_type
from fhir_server.interactions.patch import patch
from fhir_server.interactions.read import read
from fhir_server.interactions.search_system import search_system
from fhir_server.interactions.search_type import search_type
from fhir_server.interactions.transaction import transaction
from fhir_server.interactions.update import update
from fhir_server.interactions.vread import vread
from fhir_server.observability import configure_logging
from fhir_server.operator_error import OperatorError
from fhir_server.rest.alternatives import Alternatives
from fhir_server.rest.bundle import Bundles
from fhir_server.rest.dispatch import Dispatcher, Handler
from fhir_server.rest.endpoint import TENANT, Authenticate, FhirEndpoint
from fhir_server.rest.health import Check, HealthEndpoint, Lag
from fhir_server.rest.middleware import Exchange, Middleware, Scope, Send
from fhir_server.rest.response import Response
from fhir_server.rest.router import TRANSACTION, Router
from fhir_server.settings import Settings, load_settings
from fhir_server.store.events import EventLog
from fhir_server.store.readiness import has_primary
from fhir_server.store.store import Store
from fhir_server.store.tokens import Tokens

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def create(
    settings: Settings | None = None,
    *,
    clock: Clock = system_clock,
    new_id: IdSource = time_ordered_id,
) -> Asgi:
    """The ASGI application of one process, for uvicorn's `--factory`.

    Args:
        settings: those of the environment when absent.
        clock: the time.
        new_id: makes ids of resources, audit records and requests.

    Raises:
        UnknownSettingError, pydantic.ValidationError: the environment is not legal.
    """
    chosen = settings or load_settings()
    configure_logging(chosen.log_format, chosen.log_level)
    return Application(chosen, clock, new_id)


class Application:
    """Opens everything at start-up, closes it at shutdown, and hands requests on in between."""

    def __init__(self, settings: Settings, clock: Clock, new_id: IdSource) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._log = structlog.get_logger("fhir_server.app")
        self._parts: Parts | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if scope["type"] == "http" and self._parts is not None:
            await self._parts(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._parts = await Parts.open(self._settings, self._clock, self._new_id)
        except (OperatorError, ArtefactErrors, operations.HandlersDifferError) as error:
            self._log.error("start_failed", reason=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        parts, self._parts = self._parts, None
        await parts.close()
        await send({"type": "lifespan.shutdown.complete"})


class Parts:
    """Everything that is open while the application runs.

    Args:
        closing: what is closed, in the reverse order, when the application ends.
    """

    def __init__(
        self,
        fhir: FhirEndpoint,
        health: HealthEndpoint,
        authorization: Asgi,
        new_id: IdSource,
        closing: AsyncExitStack,
    ) -> None:
        self._fhir = fhir
        self._health = health
        self._authorization = authorization
        self._middleware = Middleware(self._answer, new_id)
        self._closing = closing

    @classmethod
    async def open(cls, settings: Settings, clock: Clock, new_id: IdSource) -> "Parts":
        """Open the store and wire the endpoints.

        Raises:
            OperatorError: the database cannot be used.
            ArtefactErrors: the artefacts have defects.
            HandlersDifferError: operations and their definitions differ.
        """
        registry = loader.load()
        operations.check_handlers(registry)
        async with AsyncExitStack() as closing:
            store = await Store.open(settings, registry, clock=clock, new_id=new_id)
            closing.push_async_callback(store.close)
            redis_client = redis.asyncio.from_url(
                settings.redis_url or DEFAULT_REDIS_URL, socket_timeout=1
            )
            closing.push_async_callback(redis_client.aclose)
            control = store.connection.control
            authorization = application.create(settings, registry, control, clock=clock)
            # Starlette runs the lifespan of mounted applications no more than we would.
            await closing.enter_async_context(authorization.router.lifespan_context(authorization))
            authenticate = Authenticator(Tokens(control), clock=clock).authenticate
            router = Router(registry)
            dispatcher = _dispatcher(store, registry, settings, new_id, router)
            fhir = _fhir_endpoint(settings, registry, router, dispatcher, authenticate, clock)
            health = HealthEndpoint(_checks(store, redis_client), _lag(store, clock), authenticate)
            return cls(fhir, health, authorization, new_id, closing.pop_all())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path: str = scope["path"]
        if path.startswith("/auth/"):
            await self._middleware.mount(self._authorization, scope, receive, send)
        else:
            await self._middleware(scope, receive, send)

    async def _answer(self, exchange: Exchange) -> Response:
        segments = exchange.path[1:].split("/")
        if segments[0] == "fhir":
            below = segments[1:]
            return await self._fhir.answer(exchange, [] if below == [""] else below)
        return await self._health.answer(exchange, segments)

    async def close(self) -> None:
        """Write what is queued, then let go of every socket."""
        await self._closing.aclose()


def _fhir_endpoint(
    settings: Settings,
    registry: Registry,
    router: Router,
    dispatcher: Dispatcher,
    authenticate: Authenticate,
    clock: Clock,
) -> FhirEndpoint:
    return FhirEndpoint(
        settings,
        router,
        dispatcher,
        authenticate,
        clock,
        documents=documents(registry, settings, clock(), version("fhir-server")),
        smart_configuration=orjson.dumps(discovery.smart_configuration(settings, registry)),
    )


def _dispatcher(
    store: Store, registry: Registry, settings: Settings, new_id: IdSource, router: Router
) -> Dispatcher:
    rules = ContentRules(registry, settings)
    handlers = _handlers(store, registry, settings, new_id, rules)
    dispatcher = Dispatcher(
        store,
        registry,
        settings,
        new_id,
        handlers,
        operations.HANDLERS,
        Alternatives(store, registry, settings),
    )
    # The entries of a Bundle come back to the dispatcher that the Bundle went through.
    handlers[TRANSACTION] = Bundles(
        router,
        settings,
        dispatch=dispatcher.dispatch,
        check=dispatcher.check,
        transaction=partial(transaction, store, rules, new_id),
    ).answer
    return dispatcher


def _handlers(
    store: Store, registry: Registry, settings: Settings, new_id: IdSource, rules: ContentRules
) -> dict[str, Handler]:
    return {
        "read": partial(read, store, registry),
        "vread": partial(vread, store),
        "history-instance": partial(history_instance, store, settings),
        "history-type": partial(history_type, store, settings),
        "history-system": partial(history_system, store, registry, settings),
        "search-type": partial(search_type, store, registry, settings),
        "search-system": partial(search_system, store, registry, settings),
        "create": partial(create_interaction, store, rules, new_id),
        "update": partial(update, store, rules, new_id),
        "patch": partial(patch, store, rules),
        "delete": partial(delete, store, settings),
    }


def _lag(store: Store, clock: Clock) -> Lag:
    events = EventLog(store.database(TENANT))

    async def lag() -> float | None:
        try:
            oldest = await events.oldest()
        except FhirError:
            return None
        return 0.0 if oldest is None else max(0.0, (clock() - oldest).total_seconds())

    return lag


def _checks(store: Store, redis_client: redis.asyncio.Redis) -> Mapping[str, Check]:
    async def mongodb() -> str | None:
        return None if await has_primary(store.connection) else "no primary answers"

    async def redis_answers() -> str | None:
        try:
            await redis_client.ping()
        except (RedisError, OSError):
            return "not reachable"
        return None

    return {"mongodb": mongodb, "redis": redis_answers}

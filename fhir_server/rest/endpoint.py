"""The FHIR base as an endpoint: route, authenticate, negotiate, dispatch, respond."""

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.context import Clock, Principal, RequestContext
from fhir_server.fhir.errors import FhirError, Invalid
from fhir_server.fhir.exchange import Pairs, Request
from fhir_server.interactions.capabilities import Document, capabilities
from fhir_server.rest.body import MOST_FORM_BYTES, HttpBody
from fhir_server.rest.dispatch import Dispatcher
from fhir_server.rest.middleware import Exchange
from fhir_server.rest.negotiation import negotiate, parse_pairs
from fhir_server.rest.response import Response, respond
from fhir_server.rest.router import CAPABILITIES, PUBLIC, TRANSACTION, Route, Router
from fhir_server.settings import Settings

Authenticate = Callable[[str | None], Awaitable[Principal]]
"""Value of the Authorization header -> who asks; raises Login."""

TENANT = "default"
_LEVELS_OF_BUNDLE = 3
# SMART apps in browsers read what is public before anybody knows where they come from.
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")


class FhirEndpoint:
    """Answers everything below the FHIR base.

    Args:
        documents: what `/metadata` serves, by mode.
        smart_configuration: the SMART discovery document as served.
    """

    def __init__(
        self,
        settings: Settings,
        router: Router,
        dispatcher: Dispatcher,
        authenticate: Authenticate,
        clock: Clock,
        *,
        documents: Mapping[str, Document],
        smart_configuration: bytes,
    ) -> None:
        self._settings = settings
        self._router = router
        self._dispatcher = dispatcher
        self._authenticate = authenticate
        self._clock = clock
        self._documents = documents
        self._smart_configuration = smart_configuration
        self._base_url = settings.fhir_base

    async def answer(self, exchange: Exchange, segments: list[str]) -> Response:
        """The response to a request at this path below the base.

        Raises:
            FhirError: it is refused.
        """
        route = self._resolve(exchange, segments)
        if isinstance(route, Route) and route.interaction in PUBLIC:
            return self._answer_anybody(exchange, route)
        principal = await self._authenticate(_authorization(exchange))
        exchange.client_id = principal.client_id
        if isinstance(route, FhirError):
            raise route
        pairs = await self._pairs(exchange, route)
        request = Request(
            route.interaction,
            route.type,
            route.id,
            route.version_id,
            route.operation,
            pairs,
            exchange.headers,
            self._bundle(exchange) if route.interaction == TRANSACTION else self._body(exchange),
        )
        if route.compartment:
            request = request._replace(compartment=route.compartment)
        answer = await self._dispatcher.dispatch(self._context(exchange, principal), request)
        return respond(answer, pretty=exchange.pretty)

    def _resolve(self, exchange: Exchange, segments: list[str]) -> Route | FhirError:
        try:
            route = self._router.resolve(exchange.method, segments)
        except FhirError as problem:
            # Told only after the login, so that a client without a token learns that first.
            return problem
        exchange.interaction = route.interaction
        exchange.type = route.type
        return route

    def _answer_anybody(self, exchange: Exchange, route: Route) -> Response:
        if route.interaction != CAPABILITIES:
            headers = [
                _ANY_ORIGIN,
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(self._smart_configuration)),
            ]
            return Response(200, headers, self._smart_configuration)
        query = self._query(exchange)
        wanted = negotiate(exchange.headers.get(b"accept"), query)
        request = Request(
            route.interaction, "", "", "", "", wanted.pairs, exchange.headers, self._body(exchange)
        )
        answer, etag = capabilities(self._documents, request)
        response = respond(answer, pretty=wanted.pretty)
        own = [(b"etag", etag.encode()), _ANY_ORIGIN]
        return response._replace(headers=[*response.headers, *own])

    async def _pairs(self, exchange: Exchange, route: Route) -> Pairs:
        """The parameters, without those that only tell how the answer should look."""
        pairs = self._query(exchange)
        if route.form:
            form = await self._body(exchange).form()
            pairs = [*pairs, *parse_pairs(form, self._settings.max_search_parameters + 2)]
        wanted = negotiate(exchange.headers.get(b"accept"), pairs)
        exchange.pretty = wanted.pretty
        return wanted.pairs

    def _query(self, exchange: Exchange) -> Pairs:
        raw: bytes = exchange.scope["query_string"]
        if not raw:
            return ()
        # The link to a further page of a search by form repeats the form.
        most = 3 * MOST_FORM_BYTES if b"_page=" in raw else 0
        if len(raw) > max(most, self._settings.max_query_length):
            raise Invalid(
                f"The query is longer than {self._settings.max_query_length} characters; "
                "use POST [type]/_search"
            )
        # `_format` and `_pretty` do not count as search parameters.
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Invalid("The query is not UTF-8") from None
        return parse_pairs(text, self._settings.max_search_parameters + 2)

    def _body(self, exchange: Exchange) -> HttpBody:
        return HttpBody(
            exchange.receive,
            exchange.headers,
            self._settings.max_body_bytes,
            self._settings.max_json_depth,
        )

    def _bundle(self, exchange: Exchange) -> HttpBody:
        """The body of a batch or transaction; its resources lie three levels deep."""
        settings = self._settings
        return HttpBody(
            exchange.receive,
            exchange.headers,
            settings.max_bundle_bytes,
            settings.max_json_depth + _LEVELS_OF_BUNDLE,
        )

    def _context(self, exchange: Exchange, principal: Principal) -> RequestContext:
        now = self._clock()
        client = exchange.scope.get("client")
        return RequestContext(
            TENANT,
            self._base_url,
            principal,
            now.replace(microsecond=now.microsecond // 1000 * 1000),
            exchange.request_id,
            client[0] if client else "",
        )


def _authorization(exchange: Exchange) -> str | None:
    value = exchange.headers.get(b"authorization")
    return None if value is None else value.decode("latin-1")

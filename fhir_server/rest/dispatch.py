"""One way in for every interaction: policy first, then the handler, then the audit trail.

HTTP requests and entries of a batch enter here alike.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from fhir_server.audit.record import access_record
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation, parse_parameters
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import FhirError, Issues, NotSupported
from fhir_server.fhir.exchange import Answer, Request, query_string
from fhir_server.fhir.ids import IdSource
from fhir_server.observability import REFUSED_BOOKINGS
from fhir_server.operations import OperationHandler
from fhir_server.rest.alternatives import Alternatives
from fhir_server.rest.idempotency import HEADER, ReadBody, idempotency_key
from fhir_server.rest.response import prefer
from fhir_server.rest.router import OPERATION, TRANSACTION
from fhir_server.scheduling.refusals import SlotTaken
from fhir_server.settings import Settings
from fhir_server.store.store import Store

Handler = Callable[[RequestContext, Request], Awaitable[Answer]]

WRITES = frozenset({"create", "update", "patch", "delete", OPERATION})
"""Their success is audited inside their transaction; all else is audited here."""

TAKE_PARAMETERS = frozenset(
    {"search-type", "search-system", "history-instance", "history-type", "history-system"}
)
"""All others refuse parameters, lest a conditional update is taken for a plain one."""

JUDGED_WITHIN = frozenset({TRANSACTION, "history-system"})
"""Need no right as a whole: a Bundle is judged entry by entry, the history type by type."""

RIGHT_LIKE = {"history-type": "history-instance"}
"""Interactions that need the same right as another."""

CONDITIONAL = frozenset({"update", "patch", "delete"})
"""May name by criteria what they write."""

OF_READ = frozenset({"_summary", "_elements"})
"""Parameters that a read takes."""


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Answers requests.

    Attributes:
        handlers: by interaction code.
        operations: by canonical URL.
        alternatives: what to offer whoever comes too late.
    """

    store: Store
    registry: Registry
    settings: Settings
    new_id: IdSource
    handlers: Mapping[str, Handler]
    operations: Mapping[str, OperationHandler]
    alternatives: Alternatives

    async def dispatch(self, ctx: RequestContext, request: Request) -> Answer:
        """The answer to a request.

        Raises:
            FhirError: it is refused, and nothing was written.
        """
        try:
            answer = await self._answer(ctx, request)
        except SlotTaken as taken:
            REFUSED_BOOKINGS.labels(request.type).inc()
            await self._audit(ctx, request, taken.issue_type)
            raise await self.alternatives.offer(ctx, taken) from None
        except FhirError as error:
            await self._audit(ctx, request, _issue_type(error))
            raise
        if request.interaction == TRANSACTION:
            return answer
        if self._writes(request):
            return prefer(answer, request.prefer)
        await self._audit(ctx, request, "success", answer)
        return answer

    def check(self, ctx: RequestContext, request: Request) -> None:
        """Refuse what the caller may not ask for at all, whatever is stored.

        Raises:
            NotSupported: parameters that the interaction does not take.
            Forbidden: the token does not allow the interaction on the type.
        """
        if request.pairs and not self._takes_parameters(request):
            raise NotSupported(
                f"Parameters are not offered on {request.interaction}: "
                f"{', '.join(sorted({name[:60] for name, _ in request.pairs}))}"
            )
        if request.interaction == OPERATION:
            code = self.registry.operations[request.operation].code
            policy.authorize_operation(ctx.principal, code, request.type)
        elif request.interaction not in JUDGED_WITHIN:
            like = RIGHT_LIKE.get(request.interaction, request.interaction)
            policy.authorize(ctx.principal, request.type, like)

    async def _answer(self, ctx: RequestContext, request: Request) -> Answer:
        self.check(ctx, request)
        if HEADER in request.headers and self._takes_key(request):
            # One with an empty body is known by its address alone.
            asked = await request.body.resource() if _has_body(request) else {}
            key = idempotency_key(ctx, request, asked)
            ctx = replace(ctx, idempotency=key)
            request = request._replace(body=ReadBody(asked))
        if request.interaction != OPERATION:
            return await self.handlers[request.interaction](ctx, request)
        definition = self.registry.operations[request.operation]
        resource = await request.body.resource() if _has_body(request) else None
        parameters = parse_parameters(self.registry, definition, resource, request.pairs)
        call = Invocation(definition, request.type, request.id, parameters, request.pairs)
        handler = self.operations[request.operation]
        return await handler(self.store, self.settings, self.new_id, ctx, call)

    def _takes_key(self, request: Request) -> bool:
        return request.interaction == "create" or (
            request.interaction == OPERATION and self._writes(request)
        )

    def _takes_parameters(self, request: Request) -> bool:
        if request.interaction == OPERATION:
            return not self._writes(request)
        if request.interaction == "read":
            return all(name in OF_READ for name, _ in request.pairs)
        # Without an id, what is written is named by criteria.
        conditional = not request.id and request.interaction in CONDITIONAL
        return conditional or request.interaction in TAKE_PARAMETERS

    def _writes(self, request: Request) -> bool:
        if request.interaction == OPERATION:
            return self.registry.operations[request.operation].affects_state
        return request.interaction in WRITES

    async def _audit(
        self, ctx: RequestContext, request: Request, outcome: str, answer: Answer | None = None
    ) -> None:
        operation = self.registry.operations.get(request.operation)
        await self.store.record_access(
            access_record(
                ctx,
                f"${operation.code}" if operation else request.interaction,
                resource_type=request.type,
                logical_id=request.id[:64],
                version=answer.version if answer else None,
                outcome=outcome,
                query=query_string(request.pairs),
                compartments=answer.compartments if answer else (),
            )
        )


def _has_body(request: Request) -> bool:
    headers = request.headers
    if b"content-type" in headers or b"transfer-encoding" in headers:
        return True
    return headers.get(b"content-length", b"0") != b"0"


def _issue_type(error: FhirError) -> str:
    return error.issues[0].issue_type if isinstance(error, Issues) else error.issue_type

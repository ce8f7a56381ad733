"""read: the current version of one resource (https://hl7.org/fhir/R4/http.html#read)."""

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.subset import of_pairs, shown
from fhir_server.fhir.codec import encode
from fhir_server.fhir.errors import NotFound
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import is_unchanged
from fhir_server.store.store import Store


async def read(store: Store, registry: Registry, ctx: RequestContext, request: Request) -> Answer:
    """200 with the resource, or 304 when the client holds this version already.

    `_summary` and `_elements` show a part of it.

    Raises:
        Value: one of these is not legal.
        NotFound: there is nothing the caller may know of.
        Deleted: it has been deleted.
    """
    if not is_id(request.id):
        raise NotFound(f"There is no {request.type} with this id")
    subset = of_pairs(request.pairs, registry.structures, request.type)
    found = await store.read(ctx, request.type, request.id)
    unchanged = is_unchanged(request, found.version, found.last_updated)
    answer = Answer.of_current(found, unchanged=unchanged)
    if subset is not None and not unchanged:
        answer.body = encode(shown(registry.structures, found.resource, subset))
    return answer

"""read: the current version of one resource (https://hl7.org/fhir/R4/http.html#read)."""

from fhir_server.context import RequestContext
from fhir_server.fhir.errors import NotFound
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import is_unchanged
from fhir_server.store.store import Store


async def read(store: Store, ctx: RequestContext, request: Request) -> Answer:
    """200 with the resource, or 304 when the client holds this version already.

    Raises:
        NotFound: there is nothing the caller may know of.
        Deleted: it has been deleted.
    """
    if not is_id(request.id):
        raise NotFound(f"There is no {request.type} with this id")
    found = await store.read(ctx, request.type, request.id)
    unchanged = is_unchanged(request, found.version, found.last_updated)
    return Answer.of_current(found, unchanged=unchanged)

"""vread: one version of one resource (https://hl7.org/fhir/R4/http.html#vread)."""

import re

from fhir_server.context import RequestContext
from fhir_server.fhir.errors import NotFound
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.ids import is_id
from fhir_server.fhir.preconditions import is_unchanged
from fhir_server.store.store import Store

VERSION = re.compile(r"[1-9][0-9]{0,17}")


async def vread(store: Store, ctx: RequestContext, request: Request) -> Answer:
    """200 with that version, or 304.

    Raises:
        NotFound: there is no such version that the caller may know of.
        Deleted: the version is a deletion.
    """
    if not is_id(request.id) or VERSION.fullmatch(request.version_id) is None:
        raise NotFound(f"There is no such version of {request.type}/{request.id[:64]}")
    found = await store.vread(ctx, request.type, request.id, int(request.version_id))
    unchanged = is_unchanged(request, found.version, found.last_updated)
    return Answer.of_current(found, unchanged=unchanged)

"""history of all types, newest first (https://hl7.org/fhir/R4/http.html#history)."""

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir import bundles
from fhir_server.fhir.errors import Forbidden
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.history_query import parse_history
from fhir_server.settings import Settings
from fhir_server.store.store import Store


async def history_system(
    store: Store, registry: Registry, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with a page of versions of every type that the token may read; deletions included.

    Raises:
        Forbidden: it may read none.
        NotSupported: a parameter that is not offered.
        Value, Invalid: a parameter's value is not legal, or it is repeated.
    """
    types = tuple(name for name in sorted(registry.types) if _may_read(ctx, name))
    if not types:
        raise Forbidden("this token does not allow to read any type")
    query = parse_history(
        request.pairs, page_size=settings.page_size, max_page_size=settings.max_page_size
    )
    page = await store.changes(ctx, types, query)
    address = f"{ctx.base_url}/_history"
    links = [("self", query.link(address))]
    if page.next is not None:
        links.append(("next", query.link(address, page.next)))
    entries = [bundles.HistoryEntry.of(one) for one in page.entries]
    body = bundles.history(ctx.base_url, entries, links=links, total=None)
    return Answer(200, body, compartments={name for one in page.entries for name in one.acl})


def _may_read(ctx: RequestContext, resource_type: str) -> bool:
    try:
        policy.authorize(ctx.principal, resource_type, "history-instance")
    except Forbidden:
        return False
    return True

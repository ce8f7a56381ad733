"""history of a type, newest first (https://hl7.org/fhir/R4/http.html#history)."""

from fhir_server.context import RequestContext
from fhir_server.fhir import bundles
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.history_query import parse_history
from fhir_server.settings import Settings
from fhir_server.store.store import Store


async def history_type(
    store: Store, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with a page of versions; deletions included.

    Raises:
        NotSupported: a parameter that is not offered.
        Value, Invalid: a parameter's value is not legal, or it is repeated.
    """
    query = parse_history(
        request.pairs, page_size=settings.page_size, max_page_size=settings.max_page_size
    )
    page = await store.changes(ctx, (request.type,), query)
    address = f"{ctx.base_url}/{request.type}/_history"
    links = [("self", query.link(address))]
    if page.next is not None:
        links.append(("next", query.link(address, page.next)))
    entries = [bundles.HistoryEntry.of(one) for one in page.entries]
    body = bundles.history(ctx.base_url, entries, links=links, total=None)
    return Answer(200, body, compartments={name for one in page.entries for name in one.acl})

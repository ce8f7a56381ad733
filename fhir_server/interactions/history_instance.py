"""history: the versions of one resource, newest first (https://hl7.org/fhir/R4/http.html#history)."""

import re

from fhir_server.context import RequestContext
from fhir_server.fhir import bundles
from fhir_server.fhir.errors import NotFound, Value
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.fhir.history_query import HistoryQuery, parse_history
from fhir_server.fhir.ids import is_id
from fhir_server.settings import Settings
from fhir_server.store.history import HistoryPage
from fhir_server.store.store import Store
from fhir_server.store.stored import StoredVersion

_VERSION = re.compile(r"[0-9]{1,18}")


async def history_instance(
    store: Store, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with a page of versions; deletions included.

    Raises:
        NotFound: there never was such a resource, or the caller may not know of it.
        NotSupported: a parameter that is not offered.
        Value: a parameter's value is not legal, or it is repeated.
    """
    if not is_id(request.id):
        raise NotFound(f"There is no {request.type} with this id")
    query = parse_history(
        request.pairs, page_size=settings.page_size, max_page_size=settings.max_page_size
    )
    if query.page is not None and _VERSION.fullmatch(query.page) is None:
        raise Value("_page must be a whole number")
    before = int(query.page or 0) or None
    page = await store.history(ctx, request.type, request.id, count=query.count, before=before)
    versions, complete = _asked_for(page, query)
    address = f"{ctx.base_url}/{request.type}/{request.id}/_history"
    links = [("self", query.link(address))]
    if not complete:
        links.append(("next", query.link(address, str(page.next_before))))
    whole = query.since is None and query.at is None
    body = bundles.history(
        ctx.base_url,
        (bundles.HistoryEntry.of(one) for one in versions),
        links=links,
        total=page.total if whole else None,
    )
    return Answer(200, body, compartments={name for one in versions for name in one.acl})


def _asked_for(page: HistoryPage, query: HistoryQuery) -> tuple[list[StoredVersion], bool]:
    """The versions of a page that are asked for, and whether no older ones are."""
    found: list[StoredVersion] = []
    for one in page.entries:
        if query.is_before_all(one.last_updated):
            return found, True
        if query.is_after_all(one.last_updated):
            continue
        found.append(one)
        if query.is_start(one.last_updated):
            return found, True
    return found, page.next_before is None

"""search-type: the resources of one type that match (https://hl7.org/fhir/R4/http.html#search)."""

from urllib.parse import quote

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir import bundles
from fhir_server.fhir.exchange import Answer, Pairs, Request
from fhir_server.fhir.types import Resource
from fhir_server.search.paging import Direction, Position, link_pairs
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings
from fhir_server.store.query import SearchPage
from fhir_server.store.store import Store

PAGING_SECRET = "paging"


async def search_type(
    store: Store, registry: Registry, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with a page of matches and the links to the others.

    Raises:
        FhirError: a parameter is unknown or its value not legal; all problems at once.
    """
    asked = parse_search(
        registry.types[request.type],
        request.pairs,
        base_url=ctx.base_url,
        limits=settings,
        now=ctx.now,
        lenient=request.prefer.lenient,
    )
    page = await store.search(ctx, asked)
    address = f"{ctx.base_url}/{request.type}"
    links = [("self", _link(address, asked.pairs_used))]
    links += await _other_pages(store, asked, page, address)
    body = bundles.searchset(
        ctx.base_url, page.matches, links=links, total=page.total, outcome=_warnings(asked)
    )
    compartments = {name for match in page.matches for name in match.acl}
    return Answer(200, body, compartments=compartments)


async def _other_pages(
    store: Store, asked: SearchRequest, page: SearchPage, address: str
) -> list[tuple[str, str]]:
    links: list[tuple[str, str]] = []
    found: tuple[tuple[Direction, Position | None], ...] = (
        ("previous", page.previous),
        ("next", page.next),
    )
    for direction, position in found:
        if position is not None:
            secret = await store.secret(PAGING_SECRET)
            pairs = link_pairs(secret, asked, position, direction)
            links.append((direction, _link(address, pairs)))
    return links


def _link(address: str, pairs: Pairs) -> str:
    if not pairs:
        return address
    # Commas, colons and pipes are legal in a query and read better unescaped.
    return f"{address}?{'&'.join(f'{quote(n)}={quote(v, safe=_READABLE)}' for n, v in pairs)}"


_READABLE = "/,:|$-._~"


def _warnings(asked: SearchRequest) -> Resource | None:
    if not asked.warnings:
        return None
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "warning", "code": "not-supported", "diagnostics": text}
            for text in asked.warnings
        ],
    }

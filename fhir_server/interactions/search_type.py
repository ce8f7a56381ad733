"""search-type: the resources of one type that match (https://hl7.org/fhir/R4/http.html#search)."""

from urllib.parse import quote

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir import bundles
from fhir_server.fhir.exchange import Answer, Pairs, Request
from fhir_server.fhir.types import Resource
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings
from fhir_server.store.store import Store

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
    pairs = [pair for pair in asked.pairs_used if pair[0] != "_page"]
    for relation, token in (("previous", page.previous), ("next", page.next)):
        if token is not None:
            links.append((relation, _link(address, [*pairs, ("_page", token)])))
    body = bundles.searchset(
        ctx.base_url, page.matches, links=links, total=page.total, outcome=_warnings(asked)
    )
    compartments = {name for match in page.matches for name in match.acl}
    return Answer(200, body, compartments=compartments)


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

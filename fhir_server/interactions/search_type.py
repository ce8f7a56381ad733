"""search-type: the resources of one type that match (https://hl7.org/fhir/R4/http.html#search)."""

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.search.request import parse_search
from fhir_server.search.searchset import Asked, searchset
from fhir_server.search.several import within
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
        registry=registry,
    )
    address = f"{ctx.base_url}/{request.type}"
    if request.compartment:
        asked = within(asked, registry.types[request.type], request.compartment)
        address = f"{ctx.base_url}/{request.compartment}/{request.type}"
    page = await store.search(ctx, asked)
    return searchset(registry, Asked(ctx.base_url, address, asked.pairs_used, asked), page)

"""search-system: resources of several types (https://hl7.org/fhir/R4/http.html#search)."""

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.exchange import Answer, Request
from fhir_server.search.searchset import Asked, searchset
from fhir_server.search.several import parse_several
from fhir_server.settings import Settings
from fhir_server.store.store import Store


async def search_system(
    store: Store, registry: Registry, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with a page of matches of all types, or of those that `_type` names.

    In a compartment, of all types that can belong to it.

    Raises:
        Forbidden: the token may not search a type that is named, or none at all.
        FhirError: a parameter is unknown or its value not legal.
    """
    asked = parse_several(
        registry,
        request.pairs,
        compartment=request.compartment,
        base_url=ctx.base_url,
        limits=settings,
        now=ctx.now,
        lenient=request.prefer.lenient,
    )
    page = await (await store.searches(ctx)).page_of_several(asked)
    place = f"/{request.compartment}/*" if request.compartment else ""
    found = Asked(ctx.base_url, f"{ctx.base_url}{place}", asked.pairs_used, asked.first)
    return searchset(registry, found, page)

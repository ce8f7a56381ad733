"""search-type: the resources of one type that match (https://hl7.org/fhir/R4/http.html#search)."""

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.fhir import bundles
from fhir_server.fhir.exchange import Answer, Request, query_string
from fhir_server.fhir.types import Resource
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings
from fhir_server.store.query import SearchPage
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
    page = await store.search(ctx, asked)
    links = _links(f"{ctx.base_url}/{request.type}", asked, page)
    body = bundles.searchset(
        ctx.base_url,
        page.matches,
        links=links,
        total=page.total,
        included=page.included.versions,
        outcome=_warnings(asked, page),
    )
    shown = (*page.matches, *page.included.versions)
    compartments = {name for one in shown for name in one.acl}
    return Answer(200, body, compartments=compartments)


def _links(address: str, asked: SearchRequest, page: SearchPage) -> bundles.Links:
    used = query_string([pair for pair in asked.pairs_used if pair[0] != "_page"])
    links: list[tuple[str, str]] = []
    for relation, token in (
        ("self", asked.page_token),
        ("previous", page.previous),
        ("next", page.next),
    ):
        if token is not None:
            links.append((relation, f"{address}?{used}{'&' if used else ''}_page={token}"))
        elif relation == "self":
            links.append((relation, f"{address}?{used}" if used else address))
    return links


def _warnings(asked: SearchRequest, page: SearchPage) -> Resource | None:
    issues = [
        {"severity": "warning", "code": "not-supported", "diagnostics": text}
        for text in asked.warnings
    ]
    if not page.included.complete:
        text = (
            f"only {len(page.included.versions)} resources stand beside the matches of this page, "
            "and there are more; ask for smaller pages"
        )
        issues.append({"severity": "warning", "code": "incomplete", "diagnostics": text})
    return {"resourceType": "OperationOutcome", "issue": issues} if issues else None

"""search-type: the resources of one type that match (https://hl7.org/fhir/R4/http.html#search)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import Registry
from fhir_server.definitions.subset import Subset, shown
from fhir_server.fhir import bundles
from fhir_server.fhir.codec import encode
from fhir_server.fhir.exchange import Answer, Request, query_string
from fhir_server.fhir.types import Resource
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings
from fhir_server.store.query import SearchPage
from fhir_server.store.store import Store
from fhir_server.store.stored import StoredVersion


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
        _shown(registry, asked.subset, page.matches),
        links=links,
        total=page.total,
        included=_shown(registry, _of_included(asked.subset), page.included.versions),
        outcome=_warnings(asked, page),
    )
    shown = (*page.matches, *page.included.versions)
    compartments = {name for one in shown for name in one.acl}
    return Answer(200, body, compartments=compartments)


class _Part(NamedTuple):
    """A part of a resource in a Bundle."""

    type: str
    id: str
    json: bytes


def _shown(
    registry: Registry, subset: Subset | None, found: Sequence[StoredVersion]
) -> Iterable[bundles.Match]:
    if subset is None:
        return found
    return (
        _Part(one.type, one.id, encode(shown(registry.structures, one.resource, subset)))
        for one in found
    )


def _of_included(subset: Subset | None) -> Subset | None:
    # Elements are named for the type that is searched.
    return None if subset is not None and subset.elements else subset


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

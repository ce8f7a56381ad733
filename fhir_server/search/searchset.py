"""The Bundle that answers a search (https://hl7.org/fhir/R4/search.html#return)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from fhir_server.definitions.registry import Registry
from fhir_server.definitions.subset import Subset, shown
from fhir_server.fhir import bundles
from fhir_server.fhir.codec import encode
from fhir_server.fhir.exchange import Answer, query_string
from fhir_server.fhir.types import Resource
from fhir_server.search.request import Pair, SearchRequest


class Version(Protocol):
    """A stored version of a resource."""

    @property
    def type(self) -> str:
        """The resource type."""

    @property
    def id(self) -> str:
        """The logical id."""

    @property
    def json(self) -> bytes:
        """The resource as served."""

    @property
    def acl(self) -> Sequence[str]:
        """The compartments it is in."""

    @property
    def resource(self) -> Resource:
        """The parsed resource."""


class Included(Protocol):
    """What stands beside the matches."""

    @property
    def versions(self) -> Sequence[Version]:
        """In the order shown."""

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""


class Page(Protocol):
    """A page of matches as the store finds it."""

    @property
    def matches(self) -> Sequence[Version]:
        """In the order asked for."""

    @property
    def total(self) -> int | None:
        """How many there are on all pages, when asked for."""

    @property
    def next(self) -> str | None:
        """The value of `_page` for the next page."""

    @property
    def previous(self) -> str | None:
        """The same for the page before."""

    @property
    def included(self) -> Included:
        """What stands beside the matches."""


class Asked(NamedTuple):
    """What a search has asked for, as far as its answer tells.

    Attributes:
        base_url: the FHIR base.
        address: where it was asked, without the query.
        pairs_used: the query as it was understood.
        request: the search; of several types, any one of them.
    """

    base_url: str
    address: str
    pairs_used: Sequence[Pair]
    request: SearchRequest


def searchset(registry: Registry, asked: Asked, page: Page) -> Answer:
    """200 with a page of matches, what stands beside them, and the links to other pages."""
    subset = asked.request.subset
    body = bundles.searchset(
        asked.base_url,
        _shown(registry, subset, page.matches),
        links=_links(asked, page),
        total=page.total,
        included=_shown(registry, _of_included(subset), page.included.versions),
        outcome=_warnings(asked.request, page),
    )
    everything = (*page.matches, *page.included.versions)
    return Answer(200, body, compartments={name for one in everything for name in one.acl})


class _Part(NamedTuple):
    """A part of a resource in a Bundle."""

    type: str
    id: str
    json: bytes


def _shown(
    registry: Registry, subset: Subset | None, found: Sequence[Version]
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


def _links(asked: Asked, page: Page) -> bundles.Links:
    used = query_string([pair for pair in asked.pairs_used if pair[0] != "_page"])
    links: list[tuple[str, str]] = []
    for relation, token in (
        ("self", asked.request.page_token),
        ("previous", page.previous),
        ("next", page.next),
    ):
        if token is not None:
            url = f"{asked.address}?{used}{'&' if used else ''}_page={token}"
            links.append((relation, url))
        elif relation == "self":
            links.append((relation, f"{asked.address}?{used}" if used else asked.address))
    return links


def _warnings(request: SearchRequest, page: Page) -> Resource | None:
    issues = [
        {"severity": "warning", "code": "not-supported", "diagnostics": text}
        for text in request.warnings
    ]
    if not page.included.complete:
        text = (
            f"only {len(page.included.versions)} resources stand beside the matches of this page, "
            "and there are more; ask for smaller pages"
        )
        issues.append({"severity": "warning", "code": "incomplete", "diagnostics": text})
    return {"resourceType": "OperationOutcome", "issue": issues} if issues else None

"""Searches for tests: the served types, limits, and the cases of tests/cases."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import yaml

from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.search.index import Index, build_index
from fhir_server.search.request import SearchRequest, parse_search

BASE_URL = "http://example.org/fhir"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIMITS = SimpleNamespace(max_search_parameters=30, page_size=20, max_page_size=100)
CASES = Path(__file__).parent / "cases"

Document = dict[str, Any]


@cache
def registry() -> Registry:
    """Everything that is served."""
    return load()


def definition(resource_type: str) -> TypeDefinition:
    """A served type."""
    return registry().types[resource_type]


def indexed(resource: Document) -> Index:
    """The index of a resource."""
    return build_index(definition(resource["resourceType"]), resource, BASE_URL)


def search(resource_type: str, query: str, *, lenient: bool = False) -> SearchRequest:
    """A query as it stands in a URL, understood."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return parse_search(
        definition(resource_type),
        pairs,
        base_url=BASE_URL,
        limits=LIMITS,
        now=NOW,
        lenient=lenient,
        registry=registry(),
    )


@dataclass(frozen=True)
class Case:
    """One search of a file in tests/cases.

    Attributes:
        name: file, resource type and query.
        type: the resource type.
        resources: what there is, by id.
        query: as in a URL.
        finds: the ids that must be found; None when the query must be refused.
        refuses: the FHIR issue type of the refusal.
        says: words that the refusal must contain.
    """

    name: str
    type: str
    resources: dict[str, Document]
    query: str
    finds: frozenset[str] | None
    refuses: str
    says: str


def cases() -> Iterator[Case]:
    """Every search of every file."""
    for path in sorted(CASES.glob("search_*.yaml")):
        for group in yaml.safe_load(path.read_text("utf-8")):
            resource_type = group["type"]
            resources = {
                name: {"resourceType": resource_type, "id": name, **content}
                for name, content in group.get("resources", {}).items()
            }
            for one in group["searches"]:
                finds = one.get("finds")
                yield Case(
                    name=f"{path.stem}: {resource_type}?{one['query']}",
                    type=resource_type,
                    resources=resources,
                    query=one["query"],
                    finds=None if finds is None else frozenset(finds),
                    refuses=one.get("refuses", ""),
                    says=one.get("says", ""),
                )

"""Pages in any order show each match once, in that order, in both directions."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.fhir.dates import LATEST
from fhir_server.search import paging
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.search.sorting import GREATEST, LONGEST, SortKey, sortable
from tests.property.search_strategies import populations
from tests.property.test_search_on_mongodb import (
    LIVE,
    SECRET,
    Document,
    Mongo,
    fill,
    mongo,
)
from tests.searches import BASE_URL, LIMITS, NOW, definition, indexed, registry, search

__all__ = ["mongo"]


def value_of(key: SortKey, ix: Document) -> Any:
    """What a match is ordered by, taken from its index document."""
    pick = max if key.descending else min
    if key.path:
        return ix[key.path.removeprefix("ix.").replace("_id", "i")]
    if key.type in {"date", "number", "quantity"}:
        field, absent = ("d", LATEST) if key.type == "date" else ("n", float("inf"))
        return pick((one["l"] for one in ix.get(field, {}).get(key.code, ())), default=absent)
    start = f"{key.code}="
    terms = ix.get("x" if key.type == "string" else "t", ())
    values = [one.removeprefix(start).split("\t")[0] for one in terms if one.startswith(start)]
    if key.type != "string":
        values = [one for one in values if "|" not in one.replace("\\|", "")]
    return pick((one for one in values), default=GREATEST)[:LONGEST]


def page(mongo: Mongo, request: SearchRequest) -> list[Document]:
    """The documents of one page."""
    cursor = paging.cursor(SECRET, request)
    after: list[Document] = (
        [{"$match": paging.keyset_filter(request.sort, cursor)}] if cursor else []
    )
    direction: paging.Direction = cursor.direction if cursor else "next"
    stages: list[Document] = [
        {"$match": LIVE},
        {"$set": paging.computed_keys(request.sort) or {"nothing": 0}},
        *after,
        {"$sort": paging.sort_spec(request.sort, direction)},
        {"$limit": request.count},
    ]
    found = list(mongo[request.type].aggregate(stages))
    return found[::-1] if direction == "previous" else found


def beside(request: SearchRequest, edge: Document, direction: paging.Direction) -> SearchRequest:
    """The page after or before a match."""
    position = paging.position_of(request.sort, edge)
    return parse_search(
        definition(request.type),
        paging.link_pairs(SECRET, request, position, direction),
        base_url=BASE_URL,
        limits=LIMITS,
        now=NOW,
        registry=registry(),
    )


@given(st.data())
@settings(max_examples=80)
def test_pages_follow_the_order(mongo: Mongo, data: st.DataObject) -> None:
    """Keys of every type, several at once, with ties and without values."""
    resource_type, resources = data.draw(populations())
    fill(mongo, resources)
    codes = sortable(definition(resource_type).search_parameters)
    drawn = data.draw(st.lists(st.sampled_from(codes), min_size=1, max_size=3, unique=True))
    sort = ",".join(data.draw(st.sampled_from(["", "-"])) + code for code in drawn)
    count = data.draw(st.integers(1, 3))
    request = search(resource_type, f"_sort={sort}&_count={count}")
    pages = [page(mongo, request)]
    while len(pages[-1]) == count:
        pages.append(page(mongo, beside(request, pages[-1][-1], "next")))
    shown = [one["_id"] for each in pages for one in each]
    assert shown == expected(request, resources)
    for earlier, later in pairwise(pages):
        if later:
            assert page(mongo, beside(request, later[0], "previous")) == earlier


def expected(request: SearchRequest, resources: list[Document]) -> list[str]:
    """The ids in the order asked for: sorted by the last key first, since sorting is stable."""
    index = {one["id"]: indexed(one).ix for one in resources}
    sort = request.sort
    keys = sort.keys or (SortKey("", "", sort.path, sort.descending),)
    found = sorted(index, reverse=keys[-1].descending)
    for key in reversed(keys):
        values = {one: value_of(key, index[one]) for one in found}
        # Ties must stay as they are, which `reverse` grants.
        found.sort(key=values.__getitem__, reverse=key.descending)
    return found

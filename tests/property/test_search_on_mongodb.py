"""MongoDB and memory answer every search alike, and MongoDB answers from its indexes."""

import asyncio
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database

from fhir_server.fhir.dates import format_instant, microseconds, parse_instant
from fhir_server.search import paging
from fhir_server.search.modifiers import modifiers_of
from fhir_server.search.predicate import matches, mongo_filter
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.store.collections import Collections
from tests.property.search_strategies import populations, queries
from tests.searches import (
    BASE_URL,
    LIMITS,
    NOW,
    Case,
    cases,
    definition,
    indexed,
    registry,
    search,
)

Document = dict[str, Any]
Mongo = Database[Document]

LIVE = {"deleted": False}
SECRET = b"s" * 32
FINDING = [case for case in cases() if case.finds is not None]
NINE = parse_instant("2026-12-01T09:00:00Z")


@pytest.fixture(scope="module")
def mongo(mongodb_url: str) -> Iterator[Mongo]:
    """A database with the indexes that the store makes for every type."""
    name = "search_" + secrets.token_hex(6)

    async def make() -> None:
        async with AsyncMongoClient[Document](mongodb_url) as client:
            await Collections().ensure(client[name], registry().types)

    asyncio.run(make())
    with MongoClient[Document](mongodb_url) as client:
        yield client[name]
        client.drop_database(name)


def fill(mongo: Mongo, resources: list[Document]) -> None:
    """Leave these resources, and no others, in their collection."""
    collection = mongo[resources[0]["resourceType"]]
    collection.delete_many({})
    collection.insert_many(
        [{"_id": one["id"], "deleted": False, "ix": indexed(one).ix} for one in resources]
    )


def found_by(mongo: Mongo, request: SearchRequest) -> set[str]:
    """The ids that MongoDB finds."""
    return {one["_id"] for one in mongo[request.type].find(mongo_filter(request), {"_id": 1})}


def plan(mongo: Mongo, request: SearchRequest, *conditions: Document) -> Document:
    """How MongoDB answers the request's page."""
    return mongo.command(
        "explain",
        {
            "find": request.type,
            "filter": {"$and": [mongo_filter(request), LIVE, *conditions]},
            "sort": paging.sort_spec(request.sort),
            "limit": request.count + 1,
        },
        verbosity="executionStats",
    )


def stages(tree: Any) -> Iterator[Document]:
    """Every stage of the plan that won."""
    if isinstance(tree, dict):
        if "stage" in tree:
            yield tree
        for branch in tree.values():
            yield from stages(branch)
    elif isinstance(tree, list):
        for branch in tree:
            yield from stages(branch)


def winning(explained: Document) -> list[Document]:
    """The stages of the winning plan, from the last to the first."""
    return list(stages(explained["queryPlanner"]["winningPlan"]))


@given(st.data())
@settings(max_examples=120)
def test_mongodb_and_memory_agree(mongo: Mongo, data: st.DataObject) -> None:
    """Whatever the resources and the query, both find the same resources."""
    resource_type, resources = data.draw(populations())
    fill(mongo, resources)
    for pairs in data.draw(st.lists(queries(resource_type), min_size=1, max_size=5)):
        request = parse_search(
            definition(resource_type),
            pairs,
            base_url=BASE_URL,
            limits=LIMITS,
            now=NOW,
            registry=registry(),
        )
        remembered = {one["id"] for one in resources if matches(request, indexed(one).ix)}
        assert found_by(mongo, request) == remembered, pairs


@pytest.mark.parametrize("case", FINDING, ids=lambda case: case.name)
def test_mongodb_finds_exactly(mongo: Mongo, case: Case) -> None:
    """MongoDB finds what the case says."""
    fill(mongo, list(case.resources.values()))
    assert frozenset(found_by(mongo, search(case.type, case.query))) == case.finds


SAMPLES = {
    "token": ["x", "http://system.example|x", "http://system.example|", "x,y"],
    "reference": ["Patient/1", "http://other.example/fhir/Patient/1"],
    "string": ["ann", "ann,bob"],
    "uri": ["http://url.example"],
    "date": ["2026", "ge2026", "ne2026", "le2026,gt2027", "sa2026", "ap2026"],
    "number": ["5", "ne5", "gt5", "ap5"],
    "quantity": ["5", "ne5||min", "ge5|http://unitsofmeasure.org|min"],
    "special": ["42|-71|10|km"],
    "composite": ["x$5", "http://system.example|x$ge5", "a$5,b$6"],
}


MODIFIED_SAMPLES = {
    "missing": "true",
    "in": "http://hl7.org/fhir/ValueSet/slotstatus",
    "not-in": "http://hl7.org/fhir/ValueSet/slotstatus",
    "of-type": "urn:x|y|z",
    "not": "true",
    "above": "http://url.example/a",
    "below": "http://url.example/a",
}


@pytest.mark.parametrize("resource_type", sorted(registry().types))
def test_every_declared_search_uses_an_index(mongo: Mongo, resource_type: str) -> None:
    """No search parameter of the type, in any form, and no order makes MongoDB read everything."""
    mongo[resource_type].delete_many({})
    found = []
    for code, parameter in definition(resource_type).search_parameters.items():
        samples = SAMPLES[parameter.type]
        if parameter.type == "composite" and parameter.components[1].type == "token":
            samples = ["x$true", "http://system.example|x$true"]
        if {"boolean", "ContactPoint", "string"} & {*parameter.datatypes}:
            samples = ["true", "true,false"]
        found += [f"{code}={sample}" for sample in samples]
        for modifier in (*modifiers_of(parameter), *parameter.targets):
            sample = MODIFIED_SAMPLES.get(modifier, "1")
            found.append(f"{code}:{modifier}={sample}")
            if modifier == "missing":
                found.append(f"{code}:missing=false")
    orders = ["", "_sort=_id", "_sort=-_lastUpdated"]
    for query in [*found, *orders]:
        used = {stage["stage"] for stage in winning(plan(mongo, search(resource_type, query)))}
        assert "COLLSCAN" not in used, query
        assert used & {"IXSCAN", "IDHACK", "SUBPLAN"}, query
        if query in orders:
            assert "SORT" not in used, query


def slots(number: int) -> list[Document]:
    """Slots of ten Schedules, a quarter of an hour apart, every other one free."""
    return [
        {
            "resourceType": "Slot",
            "id": f"s{one:04}",
            "schedule": {"reference": f"Schedule/{one % 10}"},
            "status": "free" if one % 20 < 10 else "busy",
            "start": format_instant(after_nine(one // 10 * 15)),
        }
        for one in range(number)
    ]


def after_nine(minutes: int) -> datetime:
    """Some minutes after nine."""
    return NINE + timedelta(minutes=minutes)


def test_slot_search_reads_only_the_schedule_and_the_time_asked_for(mongo: Mongo) -> None:
    """One Schedule and two bounds on `start` are tight bounds of one index, without a sort."""
    fill(mongo, slots(2000))
    query = (
        "status=free&start=ge2026-12-01T12:00:00Z&start=lt2026-12-01T15:00:00Z&schedule=Schedule/3"
    )
    explained = plan(mongo, search("Slot", query))
    chosen = winning(explained)
    scan = chosen[-1]
    assert scan["indexName"] == "terms"
    assert scan["indexBounds"]["ix.t"] == ['["schedule=Schedule/3", "schedule=Schedule/3"]']
    low, high = (microseconds(after_nine(minutes)) for minutes in (180, 360))
    assert scan["indexBounds"]["ix.s"] == [f"[{low}, {high - 1}]"]
    assert "SORT" not in {stage["stage"] for stage in chosen}
    assert explained["executionStats"]["nReturned"] == 6
    assert explained["executionStats"]["totalKeysExamined"] <= 13


def test_next_page_starts_where_the_last_one_ended(mongo: Mongo) -> None:
    """A position bounds the index: what lies before it is not read again."""
    fill(mongo, slots(2000))
    request = search("Slot", "schedule=Schedule/3&_count=5")
    cursor = paging.Cursor((microseconds(after_nine(150 * 15)), "s1503"), "next")
    explained = plan(mongo, request, paging.keyset_filter(request.sort, cursor))
    assert explained["executionStats"]["nReturned"] == 6
    assert explained["executionStats"]["totalKeysExamined"] <= 8


@given(
    count=st.integers(1, 4),
    order=st.sampled_from(
        ["", "&_sort=-start", "&_sort=_id", "&_sort=-_id", "&_sort=-_lastUpdated"]
    ),
    minutes=st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=9),
)
@settings(max_examples=40)
def test_pages_show_each_match_once_in_both_directions(
    mongo: Mongo, count: int, order: str, minutes: list[int | None]
) -> None:
    """Walking forwards shows every match once and in order; walking back shows the same pages."""
    resources: list[Document] = [
        {
            "resourceType": "Slot",
            "id": f"{number * 7 % 10}",
            "meta": {"lastUpdated": f"2026-12-01T09:0{minute or 0}:00Z"},
            "status": "free",
            **({} if minute is None else {"start": f"2026-12-01T09:0{minute}:00Z"}),
        }
        for number, minute in enumerate(minutes)
    ]
    fill(mongo, resources)
    query = f"status=free&_count={count}{order}"
    first = page(mongo, search("Slot", query))
    forwards, request = [first], search("Slot", query)
    while len(forwards[-1]) == count:
        forwards.append(page(mongo, beside(request, forwards[-1][-1], "next")))
    shown = [one for each in forwards for one in each]
    keys = [paging.position_of(request.sort, one) for one in shown]
    assert keys == sorted(keys, reverse=request.sort.descending)
    assert {one["_id"] for one in shown} == {one["id"] for one in resources}
    assert len(shown) == len(resources)
    for earlier, later in pairwise(forwards):
        if later:
            assert page(mongo, beside(request, later[0], "previous")) == earlier


def beside(request: SearchRequest, edge: Document, direction: paging.Direction) -> SearchRequest:
    """The page after or before a match, asked for by its link."""
    position = paging.position_of(request.sort, edge)
    pairs = paging.link_pairs(SECRET, request, position, direction)
    return parse_search(definition(request.type), pairs, base_url=BASE_URL, limits=LIMITS, now=NOW)


def page(mongo: Mongo, request: SearchRequest) -> list[Document]:
    """The matches of one page."""
    conditions = [mongo_filter(request), LIVE]
    cursor = paging.cursor(SECRET, request)
    direction: paging.Direction = "next"
    if cursor is not None:
        conditions.append(paging.keyset_filter(request.sort, cursor))
        direction = cursor.direction
    found = list(
        mongo[request.type]
        .find({"$and": conditions})
        .sort(paging.sort_spec(request.sort, direction))
        .limit(request.count)
    )
    return found[::-1] if direction == "previous" else found

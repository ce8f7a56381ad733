"""Conditional interactions that happen at the same moment, in several processes."""

import asyncio

import pytest

from fhir_server.decisions.content import ContentRules
from fhir_server.decisions.create import plan_create
from fhir_server.decisions.outcome import Outcome
from fhir_server.decisions.update import Replacement, plan_conditional_update
from fhir_server.fhir.ids import time_ordered_id
from fhir_server.fhir.preconditions import NO_CONDITION
from fhir_server.fhir.types import Resource
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import assert_consistent, basic, context, opened

EVERYBODY = 32
Pairs = list[tuple[str, str]]


def bearing(value: str) -> Resource:
    """A Basic with that identifier."""
    return basic(identifier=[{"system": "urn:a", "value": value}])


async def conditional_create(store: Store, settings: Settings, pairs: Pairs, value: str) -> Outcome:
    """Create it unless the criteria find one."""
    resource = bearing(value)
    criteria = store.criteria(context(), "Basic", pairs).for_creating(resource)
    rules = ContentRules(store.registry, settings)
    decide = plan_create(rules, "Basic", time_ordered_id(), resource, criteria)
    committed = await store.run(context(), decide, interaction="create")
    assert isinstance(committed.result, Outcome)
    return committed.result


async def conditional_update(store: Store, settings: Settings, pairs: Pairs, value: str) -> Outcome:
    """Replace what the criteria find, or create it."""
    resource = bearing(value)
    criteria = store.criteria(context(), "Basic", pairs).for_creating(resource)
    rules = ContentRules(store.registry, settings)
    replacement = Replacement(rules, context().principal, "Basic", resource, NO_CONDITION)
    decide = plan_conditional_update(replacement, criteria, time_ordered_id())
    committed = await store.run(context(), decide, interaction="update")
    assert isinstance(committed.result, Outcome)
    return committed.result


@pytest.mark.parametrize("round_", range(3))
async def test_one_of_many_conditional_creates_creates(settings: Settings, round_: int) -> None:
    """All others are told of what it created."""
    async with opened(settings) as first, opened(settings) as second:
        pairs = [("identifier", f"urn:a|{round_}")]
        outcomes = await asyncio.gather(
            *(
                conditional_create((first, second)[number % 2], settings, pairs, str(round_))
                for number in range(EVERYBODY)
            )
        )
        assert sorted(one.status for one in outcomes) == [200] * (EVERYBODY - 1) + [201]
        assert len({one.id for one in outcomes}) == 1
        assert await assert_consistent(first, "Basic") == {outcomes[0].id: 1}


async def test_different_criteria_for_the_same_identifier_meet(settings: Settings) -> None:
    """With or without the system, or with something else, or found by what is created."""
    async with opened(settings) as first, opened(settings) as second:
        ways: list[Pairs] = [
            [("identifier", "urn:a|x")],
            [("identifier", "x")],
            [("identifier", "urn:a|x"), ("_lastUpdated", "gt2000")],
            [("identifier", "urn:a|x,urn:b|y")],
        ]
        outcomes = await asyncio.gather(
            *(
                conditional_create(
                    (first, second)[number // 4 % 2], settings, ways[number % 4], "x"
                )
                for number in range(EVERYBODY)
            )
        )
        assert [one.status for one in outcomes].count(201) == 1
        assert len(await assert_consistent(first, "Basic")) == 1


async def test_other_criteria_than_identifiers_meet_their_like(settings: Settings) -> None:
    """The same search by anything else is exclusive too."""
    async with opened(settings) as first, opened(settings) as second:
        pairs = [("code", "urn:none|note"), ("_lastUpdated", "gt2000")]
        created = basic(code={"coding": [{"system": "urn:none", "code": "note"}]})
        rules = ContentRules(first.registry, settings)

        async def create(store: Store) -> Outcome:
            criteria = store.criteria(context(), "Basic", pairs).for_creating(created)
            decide = plan_create(rules, "Basic", time_ordered_id(), created, criteria)
            committed = await store.run(context(), decide, interaction="create")
            assert isinstance(committed.result, Outcome)
            return committed.result

        stores = [first, second] * (EVERYBODY // 2)
        outcomes = await asyncio.gather(*map(create, stores))
        assert [one.status for one in outcomes].count(201) == 1


async def test_conditional_updates_and_creates_meet(settings: Settings) -> None:
    """One creates; the updates are the versions that follow, none lost."""
    async with opened(settings) as first, opened(settings) as second:
        pairs = [("identifier", "urn:a|x")]
        acts = [conditional_create, conditional_update]
        outcomes = await asyncio.gather(
            *(
                acts[number % 2]((first, second)[number // 2 % 2], settings, pairs, "x")
                for number in range(EVERYBODY)
            )
        )
        assert [one.status for one in outcomes].count(201) == 1
        written = sum(one.written for one in outcomes)
        assert await assert_consistent(first, "Basic") == {outcomes[0].id: written}


async def test_unrelated_conditional_creates_do_not_wait(settings: Settings) -> None:
    """Each has an identifier of its own; all are created."""
    async with opened(settings) as first, opened(settings) as second:
        outcomes = await asyncio.gather(
            *(
                conditional_create(
                    (first, second)[number % 2],
                    settings,
                    [("identifier", f"urn:a|{number}")],
                    str(number),
                )
                for number in range(EVERYBODY)
            )
        )
        assert {one.status for one in outcomes} == {201}
        assert len(await assert_consistent(first, "Basic")) == EVERYBODY

"""Decisions that wait together: nothing is lost, nobody suffers from others."""

import asyncio

import pytest

from fhir_server.fhir.errors import BusinessRule, Conflict, Invalid, VersionConflict
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import CellWrite, Decide, Occupancy, Plan, View, Write
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import (
    assert_consistent,
    basic,
    changing,
    context,
    creating,
    everything,
    opened,
)


def _increment(resource: Resource) -> Resource:
    return {"code": {"text": str(int(resource["code"]["text"]) + 1)}}


async def test_concurrent_updates_lose_nothing(store: Store) -> None:
    """32 tasks that each add one, eight times, to the same resource: 256."""
    await store.run(context(), creating(basic("0"), "a"), interaction="create")

    async def add() -> None:
        for _ in range(8):
            await store.run(context(), changing("Basic", "a", _increment), interaction="update")

    await asyncio.gather(*(add() for _ in range(32)))
    found = await store.read(context(), "Basic", "a")
    assert (found.resource["code"]["text"], found.version) == ("256", 257)
    await assert_consistent(store, "Basic")


async def test_concurrent_updates_of_two_processes_lose_nothing(settings: Settings) -> None:
    """The same from two stores at once."""
    async with opened(settings) as one, opened(settings) as other:
        await one.run(context(), creating(basic("0"), "a"), interaction="create")

        async def add(store: Store) -> None:
            for _ in range(5):
                change = changing("Basic", "a", _increment)
                await store.run(context(), change, interaction="update")

        await asyncio.gather(*(add(store) for store in (one, other) for _ in range(5)))
        assert (await other.read(context(), "Basic", "a")).resource["code"]["text"] == "50"
        await assert_consistent(one, "Basic")


async def test_a_member_is_refused_alone(store: Store) -> None:
    """Of ten decisions that wait together three are refused; seven are written."""

    def refuse(_: View) -> Plan:
        raise BusinessRule("never")

    decisions = [creating(basic(), f"b{number}") for number in range(7)] + [refuse] * 3
    results = await asyncio.gather(
        *(store.run(context(), one, interaction="create") for one in decisions),
        return_exceptions=True,
    )
    assert [isinstance(one, BusinessRule) for one in results] == [False] * 7 + [True] * 3
    assert len(await assert_consistent(store, "Basic")) == 7


async def test_a_defective_decision_harms_only_itself(store: Store) -> None:
    """An exception that is no refusal reaches its own caller."""

    def defective(_: View) -> Plan:
        raise ZeroDivisionError

    good = [
        store.run(context(), creating(basic(), f"b{n}"), interaction="create") for n in range(4)
    ]
    results = await asyncio.gather(
        store.run(context(), defective, interaction="create"), *good, return_exceptions=True
    )
    assert isinstance(results[0], ZeroDivisionError)
    assert len(await assert_consistent(store, "Basic")) == 4


async def test_a_resource_that_cannot_be_stored_harms_only_itself(store: Store) -> None:
    """A document beyond MongoDB's limit fails; those who came with it are written."""
    huge = basic("x" * 17_000_000)
    results = await asyncio.gather(
        store.run(context(), creating(huge, "huge"), interaction="create"),
        *(
            store.run(context(), creating(basic(), f"b{number}"), interaction="create")
            for number in range(5)
        ),
        return_exceptions=True,
    )
    assert isinstance(results[0], Exception)
    assert not any(isinstance(one, Exception) for one in results[1:])
    assert sorted(await assert_consistent(store, "Basic")) == ["b0", "b1", "b2", "b3", "b4"]


async def test_many_large_resources_are_written_together(store: Store) -> None:
    """More than fits into one message is split, and is still written completely."""
    await asyncio.gather(
        *(
            store.run(context(), creating(basic("x" * 900_000), f"b{n}"), interaction="create")
            for n in range(20)
        )
    )
    assert len(await assert_consistent(store, "Basic")) == 20


async def test_one_plan_of_many_large_resources_is_one_transaction(store: Store) -> None:
    """A Bundle larger than one message is all there afterwards."""
    writes = tuple(
        Write("Basic", f"b{number}", "create", basic("x" * 900_000), "POST", 0)
        for number in range(12)
    )
    committed = await store.run(context(), lambda _: Plan(writes), interaction="transaction")
    assert [one.id for one in committed.versions] == [f"b{number}" for number in range(12)]
    assert len(await assert_consistent(store, "Basic")) == 12


async def test_creating_the_same_id_at_once_succeeds_once(store: Store) -> None:
    """One is written; the others are decided again and see it."""
    results = await asyncio.gather(
        *(
            store.run(context(), creating(basic(str(n)), "a"), interaction="create")
            for n in range(20)
        ),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, VersionConflict)]
    assert len(refused) == 19
    assert await assert_consistent(store, "Basic") == {"a": 1}


async def test_a_blind_create_of_a_taken_id_is_refused(store: Store) -> None:
    """A decision that never looks at what it creates cannot overwrite it, nor go on for ever."""
    await store.run(context(), creating(basic("first"), "a"), interaction="create")
    blind = Write("Basic", "a", "create", basic("second"), "POST", 0)
    with pytest.raises(VersionConflict):
        await store.run(context(), lambda _: Plan((blind,)), interaction="create")
    assert (await store.read(context(), "Basic", "a")).resource["code"] == {"text": "first"}
    assert await assert_consistent(store, "Basic") == {"a": 1}


async def test_writing_a_resource_twice_in_one_plan_is_refused(store: Store) -> None:
    """One transaction makes at most one version of a resource."""
    twice = Write("Basic", "a", "create", basic(), "POST", 0)
    with pytest.raises(Invalid):
        await store.run(context(), lambda _: Plan((twice, twice)), interaction="transaction")
    assert (await everything(store, "Basic"))["current"] == []


async def test_a_cancelled_member_does_not_break_its_group(store: Store) -> None:
    """Callers that go away take nobody with them, and leave nothing half done."""
    tasks = [
        asyncio.create_task(store.run(context(), creating(basic(), f"b{n}"), interaction="create"))
        for n in range(40)
    ]
    await asyncio.sleep(0)
    for task in tasks[::4]:
        task.cancel()
    await asyncio.sleep(0.001)
    for task in tasks[1::4]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    written = await assert_consistent(store, "Basic")
    for number, result in enumerate(results):
        if not isinstance(result, BaseException):
            assert f"b{number}" in written


async def test_members_of_overlapping_plans_are_all_written(store: Store) -> None:
    """Plans over several shared resources wait for each other without deadlock or loss."""
    for number in range(6):
        await store.run(context(), creating(basic("0"), f"b{number}"), interaction="create")

    def moving(first: str, second: str) -> Decide:
        def decide(view: View) -> Plan:
            writes = []
            for logical_id in (first, second):
                found = view.get("Basic", logical_id)
                assert found is not None
                resource = {**found.resource, **_increment(found.resource)}
                writes.append(Write("Basic", logical_id, "update", resource, "PUT", found.version))
            return Plan(tuple(writes))

        return decide

    pairs = [(a, b) for a in range(6) for b in range(6) if a != b]
    await asyncio.gather(
        *(
            store.run(context(), moving(f"b{a}", f"b{b}"), interaction="transaction")
            for a, b in pairs
        )
    )
    texts = [
        (await store.read(context(), "Basic", f"b{number}")).resource["code"]["text"]
        for number in range(6)
    ]
    assert texts == ["10"] * 6
    await assert_consistent(store, "Basic")


def _taking(cell_id: str, holder: str) -> Decide:
    """The decision to hold a cell, together with a resource."""
    kind, logical_id = holder.split("/")

    def decide(view: View) -> Plan:
        cell = view.cell(cell_id)
        if cell.entries:
            raise Conflict("taken")
        entry = Occupancy(0, 1, holder, None, "busy")
        return Plan(
            (Write(kind, logical_id, "create", basic(), "POST", 0),),
            (CellWrite(cell_id, cell.version, (entry,)),),
        )

    return decide


async def test_two_processes_racing_for_a_cell_have_one_winner(settings: Settings) -> None:
    """Of all who want a cell exactly one gets it, and only its resource exists."""
    async with opened(settings) as one, opened(settings) as other:
        for round_ in range(10):
            results = await asyncio.gather(
                *(
                    store.run(
                        context(),
                        _taking(f"Schedule/s|{round_}", f"Basic/{round_}-{name}-{n}"),
                        interaction="create",
                    )
                    for name, store in (("one", one), ("other", other))
                    for n in range(8)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(result, Conflict) for result in results) == 15
        assert len(await assert_consistent(one, "Basic")) == 10
        cells = [cell async for cell in one.database("default")["cells"].find()]
        assert len(cells) == 10


async def test_a_freed_cell_is_removed_and_taken_anew_under_another_version(store: Store) -> None:
    """Who saw an earlier life of a cell cannot mistake it for the present one."""
    await store.run(context(), _taking("Schedule/s|1", "Basic/a"), interaction="create")
    seen: list[int] = []

    def free(view: View) -> Plan:
        cell = view.cell("Schedule/s|1")
        seen.append(cell.version)
        return Plan(cells=(CellWrite(cell.id, cell.version, ()),))

    await store.run(context(), free, interaction="update")
    assert await store.database("default")["cells"].count_documents({}) == 0
    await store.run(context(), _taking("Schedule/s|1", "Basic/b"), interaction="create")
    await store.run(context(), free, interaction="update")
    assert seen[0] != seen[1]


async def test_exists_sees_only_live_resources(store: Store) -> None:
    """A term of a deleted resource is no longer found."""
    patient = {"resourceType": "Patient", "gender": "female"}
    found: list[bool] = []

    def look(view: View) -> Plan:
        found.append(view.exists("Patient", "gender=female"))
        return Plan()

    await store.run(context(), look, interaction="read")
    await store.run(context(), creating(patient, "p"), interaction="create")
    await store.run(context(), look, interaction="read")
    assert found == [False, True]


async def test_a_decision_sees_all_it_asked_for_at_once(store: Store) -> None:
    """`prefetch` loads what is named in one round; the decision is run once more, not often."""
    for number in range(5):
        await store.run(context(), creating(basic(str(number)), f"b{number}"), interaction="create")
    runs = 0

    def decide(view: View) -> Plan:
        nonlocal runs
        runs += 1
        keys = [("Basic", f"b{number}") for number in range(6)]
        view.prefetch(resources=keys, cells=["Schedule/s|1"])
        found = [view.get(*key) for key in keys]
        assert view.cell("Schedule/s|1").version == 0
        return Plan(result=[one.resource["code"]["text"] if one else None for one in found])

    committed = await store.run(context(), decide, interaction="read")
    assert committed.result == ["0", "1", "2", "3", "4", None]
    assert runs == 2


async def test_closing_finishes_what_was_accepted(settings: Settings) -> None:
    """Writes under way when the store closes are written and answered."""
    async with opened(settings) as store:
        tasks = [
            asyncio.create_task(
                store.run(context(), creating(basic(), f"b{n}"), interaction="create")
            )
            for n in range(50)
        ]
        await asyncio.sleep(0)
    assert all(task.done() and task.exception() is None for task in tasks)
    async with opened(settings) as store:
        assert len(await assert_consistent(store, "Basic")) == 50

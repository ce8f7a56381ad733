"""Reading and writing single resources."""

import asyncio
from datetime import timedelta

import pytest

from fhir_server.fhir.errors import Deleted, NotFound, VersionConflict
from fhir_server.scheduling.plan import Plan, View, Write
from fhir_server.store.store import Store
from tests.fixtures_store import (
    NOW,
    assert_consistent,
    basic,
    changing,
    context,
    creating,
    deleting,
    everything,
    texting,
)


async def test_a_created_resource_is_read_as_it_was_stamped(store: Store) -> None:
    """The server's id and meta come first; the client's own meta stays."""
    resource = basic(meta={"tag": [{"code": "x"}], "versionId": "77"}, id="ignored")
    committed = await store.run(context(), creating(resource, "a"), interaction="create")
    found = await store.read(context(), "Basic", "a")
    assert found.json == committed.versions[0].json
    assert found.json == (
        b'{"resourceType":"Basic","id":"a","meta":{"tag":[{"code":"x"}],"versionId":"1",'
        b'"lastUpdated":"2026-03-02T09:00:00.000Z"},"code":{"text":"note"}}'
    )
    assert (found.version, found.last_updated, found.deleted) == (1, NOW, False)
    assert found.resource["id"] == "a"


async def test_the_callers_resource_is_not_changed(store: Store) -> None:
    """A decision's resource may be shared; stamping works on a copy."""
    resource = basic()
    await store.run(context(), creating(resource, "a"), interaction="create")
    assert resource == basic()


async def test_every_version_stays_readable(store: Store) -> None:
    """Vread returns each version's own bytes."""
    await store.run(context(), creating(basic("one"), "a"), interaction="create")
    change = changing("Basic", "a", lambda _: {"code": {"text": "two"}})
    await store.run(context(minutes=1), change, interaction="update")
    first = await store.vread(context(), "Basic", "a", 1)
    second = await store.vread(context(), "Basic", "a", 2)
    assert first.resource["code"] == {"text": "one"}
    assert second.resource["code"] == {"text": "two"}
    assert (await store.read(context(), "Basic", "a")).json == second.json
    assert await assert_consistent(store, "Basic") == {"a": 2}


async def test_a_deleted_resource_is_gone_and_its_versions_are_not(store: Store) -> None:
    """Read and vread of the deletion say Deleted with its version; older versions remain."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    committed = await store.run(context(), deleting("Basic", "a"), interaction="delete")
    assert (committed.versions[0].deleted, committed.versions[0].version) == (True, 2)
    with pytest.raises(Deleted) as refused:
        await store.read(context(), "Basic", "a")
    assert refused.value.version == 2
    with pytest.raises(Deleted):
        await store.vread(context(), "Basic", "a", 2)
    assert (await store.vread(context(), "Basic", "a", 1)).resource["code"] == {"text": "note"}


async def test_a_deleted_resource_can_be_brought_back(store: Store) -> None:
    """An update at the address of a deletion continues its version numbers."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    await store.run(context(), deleting("Basic", "a"), interaction="delete")

    def revive(view: View) -> Plan:
        found = view.get("Basic", "a")
        assert found is not None
        assert found.deleted
        assert found.resource == {}
        return Plan((Write("Basic", "a", "update", basic("again"), "PUT", found.version),))

    await store.run(context(), revive, interaction="update")
    assert (await store.read(context(), "Basic", "a")).version == 3
    page = await store.history(context(), "Basic", "a", count=10)
    assert [(one.version, one.method) for one in page.entries] == [
        (3, "PUT"),
        (2, "DELETE"),
        (1, "POST"),
    ]
    assert await assert_consistent(store, "Basic") == {"a": 3}


async def test_nothing_is_found_where_nothing_was(store: Store) -> None:
    """Unknown ids, versions and types without any resource are NotFound."""
    with pytest.raises(NotFound):
        await store.read(context(), "Basic", "a")
    with pytest.raises(NotFound):
        await store.vread(context(), "Basic", "a", 1)
    with pytest.raises(NotFound):
        await store.history(context(), "Basic", "a", count=5)


async def test_last_updated_never_runs_backwards(store: Store) -> None:
    """A process whose clock is late does not date a version before the one it replaces."""
    await store.run(context(minutes=5), creating(basic(), "a"), interaction="create")
    await store.run(context(), changing("Basic", "a", dict), interaction="update")
    found = await store.read(context(), "Basic", "a")
    assert found.last_updated == NOW + timedelta(minutes=5)


async def test_a_refused_decision_writes_nothing(store: Store) -> None:
    """The refusal reaches the caller; no collection holds anything."""
    stale = changing("Basic", "a", dict, if_match=7)
    await store.run(context(), creating(basic(), "a"), interaction="create")
    before = await everything(store, "Basic")
    with pytest.raises(VersionConflict):
        await store.run(context(), stale, interaction="update")
    assert await everything(store, "Basic") == before


async def test_a_decision_without_writes_answers_at_once(store: Store) -> None:
    """The result comes back, no version and no audit record are made."""
    committed = await store.run(context(), lambda _: Plan(result="same"), interaction="update")
    assert committed.versions == ()
    assert committed.result == "same"
    assert await everything(store, "Basic") == {
        "current": [],
        "history": [],
        "events": [],
        "audited": [],
    }


async def test_history_is_paged_newest_first(store: Store) -> None:
    """Pages follow each other without gap or repetition; the total is that of all pages."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    for _ in range(6):
        await store.run(context(), changing("Basic", "a", dict), interaction="update")
    seen: list[int] = []
    before: int | None = None
    while True:
        page = await store.history(context(), "Basic", "a", count=3, before=before)
        assert page.total == 7
        seen += [one.version for one in page.entries]
        if page.next_before is None:
            break
        before = page.next_before
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_a_history_of_no_entries_only_counts(store: Store) -> None:
    """`_count=0` answers the total."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    page = await store.history(context(), "Basic", "a", count=0)
    assert (page.entries, page.total, page.next_before) == ((), 1, None)


async def test_reads_that_arrive_together_get_their_own_documents(store: Store) -> None:
    """Hundreds of concurrent reads, repeated, missing and of several types, are not mixed up."""
    for number in range(30):
        await store.run(
            context(), creating(basic(f"note {number}"), f"b{number}"), interaction="create"
        )
    patient = {"resourceType": "Patient", "gender": "female"}
    await store.run(context(), creating(patient, "b1"), interaction="create")

    async def read(number: int) -> None:
        if number % 7 == 0:
            assert (await store.read(context(), "Patient", "b1")).type == "Patient"
        elif number % 5 == 0:
            with pytest.raises(NotFound):
                await store.read(context(), "Basic", f"missing{number}")
        else:
            found = await store.read(context(), "Basic", f"b{number % 30}")
            assert found.resource["code"]["text"] == f"note {number % 30}"

    await asyncio.gather(*(read(number) for number in range(700)))


async def test_a_cancelled_read_does_not_disturb_others(store: Store) -> None:
    """Reads of the same resource share a find, not a fate."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    reads = [asyncio.create_task(store.read(context(), "Basic", "a")) for _ in range(10)]
    await asyncio.sleep(0)
    reads[0].cancel()
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(getattr(one, "id", None) == "a" for one in results[1:])


async def test_a_read_sees_every_acknowledged_write(store: Store) -> None:
    """However many reads are under way, one that starts after a commit sees it."""
    await store.run(context(), creating(basic("0"), "a"), interaction="create")
    noise = [asyncio.create_task(_read_often(store)) for _ in range(4)]
    for number in range(1, 30):
        change = changing("Basic", "a", texting(str(number)))
        await store.run(context(), change, interaction="update")
        assert (await store.read(context(), "Basic", "a")).version == number + 1
    await asyncio.gather(*noise)


async def _read_often(store: Store) -> None:
    for _ in range(150):
        await store.read(context(), "Basic", "a")


async def test_tenants_do_not_see_each_other(store: Store) -> None:
    """The same id in two tenants is two resources."""
    await store.run(context(tenant="north"), creating(basic("n"), "a"), interaction="create")
    with pytest.raises(NotFound):
        await store.read(context(tenant="south"), "Basic", "a")
    await store.run(context(tenant="south"), creating(basic("s"), "a"), interaction="create")
    found = await store.read(context(tenant="north"), "Basic", "a")
    assert found.resource["code"] == {"text": "n"}
    assert await store.connection.tenants() == ["north", "south"]

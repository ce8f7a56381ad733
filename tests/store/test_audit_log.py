"""The audit trail."""

import asyncio
from typing import Any

from fhir_server.audit.record import access_record
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import NOW, basic, context, creating, opened


async def _records(store: Store, tenant: str = "default") -> list[dict[str, Any]]:
    documents = [one async for one in store.database(tenant)["audit"].find()]
    return [record for one in documents for record in one["records"]]


async def test_a_write_carries_its_record(store: Store) -> None:
    """Who wrote which version of what, for which patient, when and from where."""
    appointment = {
        "resourceType": "Appointment",
        "status": "proposed",
        "participant": [{"actor": {"reference": "Patient/p1"}, "status": "accepted"}],
    }
    await store.run(context(), creating(appointment, "a"), interaction="create")
    assert await _records(store) == [
        {
            "t": NOW,
            "req": "request-1",
            "client": "client-1",
            "token": "token-1",
            "interaction": "create",
            "type": "Appointment",
            "id": "a",
            "outcome": "success",
            "address": "127.0.0.1",
            "v": 1,
            "patients": ["Patient/p1"],
        }
    ]


async def test_reads_are_recorded_soon_and_completely(settings: Settings) -> None:
    """Thousands of records of two tenants arrive, in few documents, at the latest on closing."""
    async with opened(settings) as store:
        for number in range(2_500):
            tenant = "default" if number % 5 else "north"
            record = access_record(
                context(tenant=tenant), "read", resource_type="Basic", logical_id=f"b{number}"
            )
            await store.record_access(record)
    async with opened(settings) as store:
        records = await _records(store) + await _records(store, "north")
        assert sorted(one["id"] for one in records) == sorted(f"b{n}" for n in range(2_500))
        assert len(await _records(store, "north")) == 500
        assert await store.database("default")["audit"].count_documents({}) <= 10


async def test_records_are_written_without_waiting_for_more(store: Store) -> None:
    """A single record is there soon after, while the store stays open."""
    await store.record_access(access_record(context(), "search-type", query="status=free"))
    async with asyncio.timeout(5):
        while not (found := await _records(store)):
            await asyncio.sleep(0.02)
    assert found[0]["query"] == "status=free"


async def test_refused_decisions_leave_no_success_behind(store: Store) -> None:
    """Only what was written is recorded as written."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    await asyncio.gather(
        *(store.run(context(), creating(basic(), "a"), interaction="create") for _ in range(5)),
        return_exceptions=True,
    )
    assert len(await _records(store)) == 1

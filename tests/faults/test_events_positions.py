"""Positions that are lost, stale or overlapping: every event is numbered, none twice."""

import asyncio
from typing import Any

import pytest

from fhir_server.settings import Settings
from fhir_server.store.event_stream import EventStream, HistoryLost
from fhir_server.store.events import POSITION, AlreadySequenced, Batch, EventLog, LeadershipLost
from fhir_server.store.leases import Leases
from fhir_server.subscriptions.process import TENANT, run_deliverer, run_sequencer
from tests.fixtures_events import (
    Clinic,
    Receiver,
    at_least,
    basic,
    running,
    subscription,
)

ANCIENT = "8200000001" + "00" * 8 + "2B0229296E04"
"""A position of 1970 in the form of a resume token: no oplog reaches back to it."""


async def active(clinic: Clinic, settings: Settings, url: str) -> None:
    """A Subscription that is active and has been told of one event; nothing runs afterwards."""
    async with running(run_sequencer(settings)):
        await clinic.put(subscription("s1", url))
        await clinic.status("s1", "active")
        await clinic.put(basic("b0"))
        await numbered(clinic, 1)


async def numbered(clinic: Clinic, count: int) -> list[str]:
    """Wait until so many events are numbered; gives their keys in the order of their numbers."""
    deliveries = clinic.store.database(TENANT)["deliveries"]
    await at_least(deliveries, count)
    rows = await deliveries.find({}).sort("n", 1).to_list()
    assert [row["n"] for row in rows] == list(range(1, len(rows) + 1))
    return [f"{row['id']}/{row['v']}" for row in rows]


async def set_token(clinic: Clinic, token: dict[str, Any] | None) -> None:
    state = clinic.store.database(TENANT)["sequences"]
    change = {"$unset": {"token": 1}} if token is None else {"$set": {"token": token}}
    await state.update_one({"_id": POSITION}, change)


@pytest.mark.parametrize(
    "token", [{"_data": ANCIENT}, {"_data": "82"}, {"_data": "not a token"}, {}, None]
)
async def test_lost_position_is_recovered_from_the_outbox(
    clinic: Clinic,
    settings: Settings,
    receiver: Receiver,
    token: dict[str, Any] | None,
) -> None:
    """Without a usable position everything that waits is numbered, then the stream goes on."""
    await active(clinic, settings, receiver.url)
    for count in range(1, 8):
        await clinic.put(basic("b1", author={"display": str(count)}))
    await set_token(clinic, token)
    async with running(run_sequencer(settings), run_deliverer(settings)):
        await clinic.put(basic("b2"))
        found = await numbered(clinic, 9)
        await receiver.until(lambda: len(receiver.accepted) == 9)
    assert found == ["b0/1", *(f"b1/{version}" for version in range(1, 8)), "b2/1"]
    assert await clinic.store.database(TENANT)["events"].count_documents({}) == 0


async def test_ancient_position_is_history_lost(clinic: Clinic) -> None:
    """A position that the oplog has forgotten is told as such, not as a passing failure."""
    log = EventLog(clinic.store.database(TENANT))
    await log.prepare()
    with pytest.raises(HistoryLost):
        await EventStream.open(log.database, {"_data": ANCIENT})


async def test_stale_position_numbers_nothing_twice(
    clinic: Clinic,
    settings: Settings,
    receiver: Receiver,
) -> None:
    """A position before events that are numbered already only costs looking at them again."""
    log = EventLog(clinic.store.database(TENANT))
    await log.prepare()
    stream = await EventStream.open(log.database, None)
    await stream.close()
    await active(clinic, settings, receiver.url)
    await clinic.put(basic("b1"))
    await set_token(clinic, dict(stream.token))
    async with running(run_sequencer(settings)):
        await clinic.put(basic("b1"))
        await clinic.put(basic("b2"))
        assert await numbered(clinic, 4) == ["b0/1", "b1/1", "b1/2", "b2/1"]


async def test_dropped_outbox_does_not_stop_the_sequencer(
    clinic: Clinic,
    settings: Settings,
    receiver: Receiver,
) -> None:
    """A stream that is invalidated is replaced by a new one."""
    async with running(run_sequencer(settings)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        await clinic.store.database(TENANT)["events"].drop()
        await clinic.put(basic("b1"))
        await numbered(clinic, 1)


async def test_replaced_leader_writes_nothing(clinic: Clinic) -> None:
    """A batch of an earlier epoch is refused as a whole."""
    await clinic.put(basic("b1"))
    log = EventLog(clinic.store.database(TENANT))
    await log.prepare()
    await log.lead(1)
    await log.lead(2)
    with pytest.raises(LeadershipLost):
        await log.lead(1)
    with pytest.raises(LeadershipLost):
        await log.commit(Batch({"_data": "00"}, ["Basic/b1/1"]), 1)
    assert await log.waiting(["Basic/b1/1"]) == {"Basic/b1/1"}


async def test_event_is_taken_from_the_outbox_once(clinic: Clinic) -> None:
    """A batch with an event that is gone is refused as a whole."""
    await clinic.put(basic("b1"))
    await clinic.put(basic("b2"))
    log = EventLog(clinic.store.database(TENANT))
    await log.prepare()
    await log.lead(1)
    await log.commit(Batch({"_data": "01"}, ["Basic/b1/1"]), 1)
    with pytest.raises(AlreadySequenced):
        await log.commit(Batch({"_data": "02"}, ["Basic/b1/1", "Basic/b2/1"]), 1)
    assert await log.waiting(["Basic/b1/1", "Basic/b2/1"]) == {"Basic/b2/1"}
    assert await log.lead(1) == {"_data": "01"}


async def test_lease_changes_hands_only_when_free(clinic: Clinic) -> None:
    """One holder at a time; the epoch grows with every change, not with renewals."""
    leases = Leases(clinic.store.database(TENANT))
    first = await leases.acquire("job", "a", 60)
    assert first is not None
    assert await leases.acquire("job", "b", 60) is None
    again = await leases.acquire("job", "a", 60)
    assert again == first
    assert await leases.renew(first, 0.05)
    await asyncio.sleep(0.1)
    second = await leases.acquire("job", "b", 60)
    assert second is not None
    assert second.epoch == first.epoch + 1
    assert not await leases.renew(first, 60)
    await leases.release(first)
    assert await leases.acquire("job", "a", 60) is None
    await leases.release(second)
    third = await leases.acquire("job", "a", 60)
    assert third is not None
    assert third.epoch == second.epoch + 1

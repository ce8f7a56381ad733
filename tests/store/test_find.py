"""Finds, and what becomes of the database's failures."""

import pytest
from pymongo.errors import OperationFailure

from fhir_server.fhir.errors import Transient
from fhir_server.store.find import find
from fhir_server.store.store import Store
from tests.fixtures_store import basic, context, creating


async def test_a_search_that_takes_too_long_is_stopped(store: Store) -> None:
    """The bound holds in the database; the caller is told to narrow it."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    slow = {"$where": "sleep(2000) || true"}
    with pytest.raises(Transient, match="longer than this server allows") as refused:
        await find(store.database("default"), "Basic", slow, limit=1, milliseconds=50)
    assert refused.value.retry_after == 5


async def test_a_defect_is_not_disguised_as_an_outage(store: Store) -> None:
    """A filter that MongoDB does not understand is ours to mend."""
    await store.run(context(), creating(basic(), "a"), interaction="create")
    with pytest.raises(OperationFailure):
        await find(store.database("default"), "Basic", {"$nonsense": 1}, limit=1)

"""A real store on a database of its own, and short ways to write through it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from fhir_server.context import Principal, RequestContext
from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import NotFound, VersionConflict
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide, Plan, View, Write
from fhir_server.settings import Settings
from fhir_server.store.store import Store

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BASE_URL = "http://127.0.0.1:8000/fhir"
EVERYTHING = "system/*.cruds"


@cache
def loaded() -> Registry:
    """The artefacts, read once."""
    return load()


def context(
    scope: str = EVERYTHING, *, minutes: int = 0, tenant: str = "default"
) -> RequestContext:
    """A request with a token of that scope, some minutes after `NOW`."""
    return RequestContext(
        tenant=tenant,
        base_url=BASE_URL,
        principal=Principal("client-1", scope, "token-1"),
        now=NOW + timedelta(minutes=minutes),
        request_id="request-1",
        address="127.0.0.1",
    )


def basic(text: str = "note", **elements: Any) -> Resource:
    """A resource without any rule of its own."""
    return {"resourceType": "Basic", "code": {"text": text}, **elements}


def creating(resource: Resource, logical_id: str) -> Decide:
    """The decision to create a resource; a taken id is a conflict."""
    kind = resource["resourceType"]

    def decide(view: View) -> Plan:
        if view.get(kind, logical_id) is not None:
            raise VersionConflict("it exists already")
        return Plan((Write(kind, logical_id, "create", resource, "POST", 0),))

    return decide


def changing(
    kind: str,
    logical_id: str,
    change: Callable[[Resource], Mapping[str, Any]],
    *,
    if_match: int | None = None,
) -> Decide:
    """The decision to replace some elements of what is stored."""

    def decide(view: View) -> Plan:
        found = view.get(kind, logical_id)
        if found is None or found.deleted:
            raise NotFound("nothing to change")
        if if_match is not None and found.version != if_match:
            raise VersionConflict(f"version {found.version} is current")
        resource = {**found.resource, **change(found.resource)}
        return Plan((Write(kind, logical_id, "update", resource, "PUT", found.version),))

    return decide


def texting(text: str) -> Callable[[Resource], Mapping[str, Any]]:
    """The change of a Basic's code to that text."""
    return lambda _: {"code": {"text": text}}


def deleting(kind: str, logical_id: str) -> Decide:
    """The decision to delete a resource."""

    def decide(view: View) -> Plan:
        found = view.get(kind, logical_id)
        if found is None:
            raise NotFound("nothing to delete")
        return Plan((Write(kind, logical_id, "delete", None, "DELETE", found.version),))

    return decide


async def everything(store: Store, kind: str, tenant: str = "default") -> dict[str, list[Any]]:
    """What the collections that must agree hold: `(id, version)` of each."""
    database = store.database(tenant)
    current = [(one["_id"], one["v"]) async for one in database[kind].find()]
    history = [(one["id"], one["v"]) async for one in database[f"{kind}_history"].find()]
    events = [(one["id"], one["v"]) async for one in database["events"].find({"type": kind})]
    audited = [
        (record["id"], record["v"])
        async for one in database["audit"].find()
        for record in one["records"]
        if record["type"] == kind and "v" in record
    ]
    return {
        "current": sorted(current),
        "history": sorted(history),
        "events": sorted(events),
        "audited": sorted(audited),
    }


async def assert_consistent(store: Store, kind: str, tenant: str = "default") -> dict[str, int]:
    """Current documents, history, outbox and audit trail tell the same story.

    Returns:
        The current version of each resource.
    """
    found = await everything(store, kind, tenant)
    versions = dict(found["current"])
    told = sorted((one, number) for one, last in versions.items() for number in range(1, last + 1))
    assert found["history"] == told
    assert found["events"] == told
    assert found["audited"] == told
    return versions


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """A store of its own, as another process would open it."""
    store = await Store.open(settings, loaded())
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """A store on an empty database."""
    async with opened(settings) as store:
        yield store

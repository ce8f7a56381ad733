"""Tokens that may see or write only some resources of a type."""

from collections.abc import Awaitable, Callable

import pytest

from fhir_server.context import RequestContext
from fhir_server.fhir.errors import Forbidden, Login, NotFound
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Plan, View, Write
from fhir_server.search.request import parse_search
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import (
    BASE_URL,
    NOW,
    changing,
    context,
    creating,
    deleting,
    everything,
    loaded,
)

MALE_ONLY = "system/Patient.cruds?gender=male"


def _patient(gender: str) -> Resource:
    return {"resourceType": "Patient", "gender": gender}


async def _two_patients(store: Store) -> None:
    await store.run(context(), creating(_patient("male"), "him"), interaction="create")
    await store.run(context(), creating(_patient("female"), "her"), interaction="create")


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, found: store.read(context(MALE_ONLY), "Patient", found),
        lambda store, found: store.vread(context(MALE_ONLY), "Patient", found, 1),
        lambda store, found: store.history(context(MALE_ONLY), "Patient", found, count=5),
    ],
)
async def test_absent_and_forbidden_look_the_same(
    store: Store, ask: Callable[[Store, str], Awaitable[object]]
) -> None:
    """What the token may not see is refused like what never was; what it may see is not."""
    await _two_patients(store)
    await ask(store, "him")
    with pytest.raises(NotFound) as forbidden:
        await ask(store, "her")
    with pytest.raises(NotFound) as absent:
        await ask(store, "abc")
    assert forbidden.value.diagnostics == absent.value.diagnostics.replace("abc", "her")


async def test_searches_and_totals_are_restricted(store: Store, settings: Settings) -> None:
    """Neither matches nor counts tell of others."""
    await _two_patients(store)
    request = parse_search(
        loaded().types["Patient"],
        [("_total", "accurate")],
        base_url=BASE_URL,
        limits=settings,
        now=NOW,
    )
    page = await store.search(context(MALE_ONLY), request)
    assert ([one.id for one in page.matches], page.total) == (["him"], 1)


async def test_old_versions_outside_the_constraint_stay_hidden(store: Store) -> None:
    """Each version is judged by its own content, deletions are hidden."""
    await _two_patients(store)
    change = changing("Patient", "her", lambda _: {"gender": "male"})
    await store.run(context(), change, interaction="update")
    await store.read(context(MALE_ONLY), "Patient", "her")
    with pytest.raises(NotFound):
        await store.vread(context(MALE_ONLY), "Patient", "her", 1)
    page = await store.history(context(MALE_ONLY), "Patient", "her", count=5)
    assert ([one.version for one in page.entries], page.total) == ([2], None)
    await store.run(context(), deleting("Patient", "her"), interaction="delete")
    with pytest.raises(NotFound):
        await store.read(context(MALE_ONLY), "Patient", "her")


async def test_writes_are_restricted_before_and_after(store: Store) -> None:
    """Content must be within the constraint as it was and as it will be; nothing is written."""
    await _two_patients(store)
    before = await everything(store, "Patient")
    turn = changing("Patient", "him", lambda _: {"gender": "female"})
    with pytest.raises(Forbidden):
        await store.run(context(MALE_ONLY), turn, interaction="update")
    with pytest.raises(Forbidden):
        await store.run(
            context(MALE_ONLY), creating(_patient("female"), "new"), interaction="create"
        )
    hidden = changing("Patient", "her", lambda _: {"gender": "male"})
    with pytest.raises(NotFound):
        await store.run(context(MALE_ONLY), hidden, interaction="update")
    with pytest.raises(NotFound):
        await store.run(context(MALE_ONLY), deleting("Patient", "her"), interaction="delete")
    assert await everything(store, "Patient") == before
    await store.run(context(MALE_ONLY), deleting("Patient", "him"), interaction="delete")


async def test_creating_by_update_needs_both_rights(store: Store) -> None:
    """The constraints of create and of update both hold for what is created by PUT."""
    scope = "system/Patient.c?gender=male system/Patient.u?active=true"

    def put(resource: Resource) -> Callable[[View], Plan]:
        return lambda _: Plan((Write("Patient", "new", "create", resource, "PUT", 0),))

    with pytest.raises(Forbidden):
        await store.run(context(scope), put(_patient("male")), interaction="update")
    await store.run(context(scope), put({**_patient("male"), "active": True}), interaction="update")


async def test_nothing_is_open_to_nobody(store: Store) -> None:
    """Without a principal there is neither reading nor writing."""
    await _two_patients(store)
    nobody = RequestContext("default", BASE_URL, None, NOW, "request-2")
    with pytest.raises(Login):
        await store.read(nobody, "Patient", "him")
    with pytest.raises(Login):
        await store.run(nobody, creating(_patient("male"), "new"), interaction="create")
    assert [one for one, _ in (await everything(store, "Patient"))["current"]] == ["her", "him"]

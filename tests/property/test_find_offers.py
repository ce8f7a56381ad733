"""Whatever the agenda: what $find offers can be booked, and what can be booked it offers."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pymongo import MongoClient

from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation, parse_parameters
from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.dates import format_instant, parse_instant
from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.ids import time_ordered_id
from fhir_server.fhir.types import Resource
from fhir_server.operations.find import find
from fhir_server.scheduling.booking import plan_book
from fhir_server.scheduling.holding import HoldRules, plan_hold
from fhir_server.settings import Settings
from fhir_server.store.rehearsal import rehearse
from fhir_server.store.store import Store
from tests.agenda import NOW as MORNING
from tests.agenda import appointment, at, schedule, slot
from tests.fixtures_store import NOW as ARRIVAL
from tests.fixtures_store import context, creating, loaded, opened

OFFSET = round((MORNING - ARRIVAL).total_seconds() / 60)
RULES = HoldRules(300, 0, 0)
FIND = canonical("OperationDefinition", "appointment-find")
LATE = 24 * 60

Drawn = tuple[int, int, int, str]
slots = st.lists(
    st.tuples(
        st.integers(-2, 12).map(lambda step: step * 15),
        st.sampled_from([15, 30, 45, 90]),
        st.integers(0, 1),
        st.sampled_from(["free"] * 5 + ["busy", "busy-unavailable", "busy-tentative"]),
    ),
    max_size=12,
)
bookings = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from(["book", "hold", "lapsed"])), max_size=5
)


@pytest.fixture(scope="module")
def kept(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One database for all examples; each has Schedules of its own."""
    prefix = "find" + secrets.token_hex(6)
    folder: Path = tmp_path_factory.mktemp("find")
    yield Settings(mongodb_url=mongodb_url, database_prefix=prefix, data_dir=folder, demo=False)
    with MongoClient[dict[str, object]](mongodb_url) as client:
        for name in client.list_database_names():
            if name.startswith(prefix):
                client.drop_database(name)


def now(minutes: int = 0) -> RequestContext:
    """A request so many minutes after the morning that the Slots count from."""
    return context(minutes=OFFSET + minutes)


async def build(
    store: Store, drawn: Sequence[Drawn], booked: Sequence[tuple[int, str]]
) -> tuple[list[str], list[str]]:
    """The Schedules and Slots that were accepted, after the bookings that were."""
    agendas = [time_ordered_id(), time_ordered_id()]
    for name in agendas:
        await store.run(now(), creating(schedule(), name), interaction="create")
    stored = []
    for start, minutes, agenda, status in drawn:
        content = slot(start, start + minutes, status, f"Schedule/{agendas[agenda]}")
        name = time_ordered_id()
        if await accepted(store, now(-60), "create", content, name):
            stored.append(name)
    for number, way in booked:
        if stored:
            wanted = await proposed(store, stored[number % len(stored)])
            # A hold of an hour ago has lapsed by now, and nobody has tidied up.
            when = now(-60) if way == "lapsed" else now(-1)
            await accepted(store, when, way, wanted, time_ordered_id())
    return agendas, stored


async def accepted(
    store: Store, ctx: RequestContext, way: str, resource: Resource, name: str
) -> bool:
    """Whether a write was; a refused one leaves the agenda as it was."""
    decide = {
        "create": creating(resource, name),
        "book": lambda view: plan_book(resource, view, name),
        "hold": lambda view: plan_hold(resource, view, name, RULES),
        "lapsed": lambda view: plan_hold(resource, view, name, RULES),
    }[way]
    try:
        await store.run(ctx, decide, interaction=way)
    except FhirError:
        return False
    return True


async def proposed(store: Store, name: str) -> Resource:
    """What books a Slot."""
    content = (await store.read(now(), "Slot", name)).resource
    times = {"start": content["start"], "end": content["end"]}
    return appointment(f"Slot/{name}", start=None, status="proposed") | times


async def bookable(store: Store, settings: Settings, wanted: Resource) -> bool:
    """Whether it could be booked at this moment."""
    try:
        await rehearse(store, settings, now(), lambda view: plan_book(wanted, view, "rehearsed"))
    except FhirError:
        return False
    return True


async def offers(store: Store, settings: Settings, agendas: list[str], window: tuple[str, str]):  # type: ignore[no-untyped-def]
    """What is offered of these Schedules."""
    definition = store.registry.operations[FIND]
    pairs = [("start", window[0]), ("end", window[1]), ("_count", "1000")]
    pairs += [("schedule", one) for one in agendas]
    parameters = parse_parameters(store.registry, definition, None, pairs)
    call = Invocation(definition, "Appointment", "", parameters, pairs)
    answer = await find(store, settings, time_ordered_id, now(), call)
    bundle = orjson.loads(answer.body)
    return [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "match"]


@given(slots, bookings, st.sampled_from([(-60, LATE), (15, 75), (30, 120), (0, LATE)]))
@example([(60, 30, 0, "free")], [(0, "lapsed")], (0, LATE))
@example([(60, 30, 0, "free"), (75, 30, 0, "free")], [(0, "hold")], (0, LATE))
@hypothesis_settings(max_examples=40)
def test_offered_is_bookable_and_bookable_is_offered(
    kept: Settings, drawn: list[Drawn], booked: list[tuple[int, str]], window: tuple[int, int]
) -> None:
    """Exactly the Slots of the window that a booking would get at that moment, in order."""

    async def check() -> None:
        async with opened(kept) as store:
            assert store.registry is loaded()
            agendas, stored = await build(store, drawn, booked)
            found = await offers(store, kept, agendas, (at(window[0]), at(window[1])))
            for one in found:
                assert await bookable(store, kept, one)
            expected = []
            for name in stored:
                wanted = await proposed(store, name)
                inside = wanted["start"] >= at(window[0]) and wanted["end"] <= at(window[1])
                if inside and await bookable(store, kept, wanted):
                    expected.append(f"Slot/{name}")
            given_slots = [one["slot"][0]["reference"] for one in found]
            assert sorted(given_slots) == sorted(expected)
            starts = [one["start"] for one in found]
            assert starts == sorted(starts)
            assert all(parse_instant(one) >= parse_instant(format_instant(now().now))
                       for one in starts)  # fmt: skip

    asyncio.run(check())

"""What those who come too late are offered, and for how long they share it."""

from datetime import timedelta

from fhir_server.fhir.dates import format_instant
from fhir_server.fhir.errors import Issues
from fhir_server.fhir.types import Resource
from fhir_server.rest.alternatives import Alternatives
from fhir_server.scheduling.refusals import SlotTaken
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import NOW, changing, context, creating, loaded

WANTED = NOW + timedelta(days=1)
QUARTER = timedelta(minutes=15)


def slot(number: int) -> Resource:
    """A free quarter of an hour; number 0 is the wanted one."""
    start = WANTED + number * QUARTER
    return {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/a"},
        "status": "free",
        "start": format_instant(start),
        "end": format_instant(start + QUARTER),
    }


def taken() -> SlotTaken:
    """The refusal of the wanted Slot."""
    start, end = (int(one.timestamp()) * 1_000_000 for one in (WANTED, WANTED + QUARTER))
    return SlotTaken(
        "It is taken.",
        expression=["Appointment.slot[0]"],
        details="slot-taken",
        schedule="Schedule/a",
        start=start,
        end=end,
    )


async def offered(alternatives: Alternatives, scope: str) -> list[str]:
    """The Slots that are offered to the holder of a token."""
    refusal = await alternatives.offer(context(scope), taken())
    hints = refusal.issues[1:] if isinstance(refusal, Issues) else ()
    return [str(one).split()[2].rstrip(",") for one in hints]


async def test_losers_share_a_search_for_a_blink(store: Store, settings: Settings) -> None:
    """Then it is made again; and nobody shares what another token may see."""
    schedule: Resource = {"resourceType": "Schedule", "actor": [{"reference": "Location/a"}]}
    await store.run(context(), creating(schedule, "a"), interaction="create")
    for number in range(4):
        await store.run(context(), creating(slot(number), f"s{number}"), interaction="create")
    now = 100.0
    alternatives = Alternatives(store, loaded(), settings, monotonic=lambda: now)
    free = ["Slot/s1", "Slot/s2", "Slot/s3"]
    assert await offered(alternatives, "system/*.cruds") == free
    await store.run(
        context(), changing("Slot", "s2", lambda _: {"status": "busy"}), interaction="update"
    )
    assert await offered(alternatives, "system/*.cruds") == free
    assert await offered(alternatives, "system/*.rs") == ["Slot/s1", "Slot/s3"]
    assert await offered(alternatives, "system/Slot.s?status=busy") == []
    assert await offered(alternatives, "system/Appointment.cuds") == []
    now += 0.06
    assert await offered(alternatives, "system/*.cruds") == ["Slot/s1", "Slot/s3"]


async def test_only_what_can_be_booked_is_offered(store: Store, settings: Settings) -> None:
    """A free Slot that lies over booked or closed time is passed over for a later one."""
    schedule: Resource = {"resourceType": "Schedule", "actor": [{"reference": "Location/a"}]}
    await store.run(context(), creating(schedule, "a"), interaction="create")
    for number in range(1, 9):
        await store.run(context(), creating(slot(number), f"s{number}"), interaction="create")
    booked: Resource = {
        "resourceType": "Appointment",
        "status": "booked",
        "slot": [{"reference": "Slot/long"}],
        "start": slot(1)["start"],
        "end": slot(3)["end"],
        "participant": [{"actor": {"reference": "Patient/a"}, "status": "accepted"}],
    }
    long = {**slot(1), "end": slot(3)["end"]}
    closed = {**slot(5), "status": "busy-unavailable"}
    await store.run(context(), creating(long, "long"), interaction="create")
    await store.run(context(), creating(booked, "b"), interaction="create")
    await store.run(context(), creating(closed, "closed"), interaction="create")
    alternatives = Alternatives(store, loaded(), settings)
    assert await offered(alternatives, "system/*.cruds") == ["Slot/s4", "Slot/s6", "Slot/s7"]

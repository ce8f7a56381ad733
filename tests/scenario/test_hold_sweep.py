"""What readers see of lapsed holds, with the real sequencer process's sweep."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

from fhir_server.context import Principal, system_clock
from fhir_server.scheduling.holding import HoldRules, plan_hold
from fhir_server.settings import Settings
from fhir_server.store.lapsed import lapsed_holds
from fhir_server.subscriptions.hold_sweep import sweep
from fhir_server.subscriptions.process import TENANT, run_sequencer, status_writer
from tests.fixtures_events import CLIENT, Clinic, running

RULES = HoldRules(seconds=1, per_patient=0, per_client=0)


async def hold(clinic: Clinic, number: int, principal: Principal = CLIENT) -> None:
    """A Slot of a Schedule of its own, held for a second."""
    start = system_clock().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    await clinic.put(
        {
            "resourceType": "Schedule",
            "id": f"s{number}",
            "actor": [{"reference": f"Practitioner/{number}"}],
        }
    )
    await clinic.put(
        {
            "resourceType": "Slot",
            "id": f"t{number}",
            "schedule": {"reference": f"Schedule/s{number}"},
            "status": "free",
            "start": start.isoformat(),
            "end": (start + timedelta(hours=1)).isoformat(),
        }
    )
    wanted: dict[str, Any] = {
        "resourceType": "Appointment",
        "status": "proposed",
        "slot": [{"reference": f"Slot/t{number}"}],
        "participant": [{"actor": {"reference": f"Patient/{number}"}, "status": "accepted"}],
    }
    decide = partial(plan_hold, wanted, new_id=f"a{number}", rules=RULES)
    await clinic.store.run(clinic.context(principal), decide, interaction="$hold")


async def statuses(clinic: Clinic, number: int) -> tuple[str, str]:
    """Of the Appointment and its Slot, as a client reads them."""
    context = clinic.context()
    one = await clinic.store.read(context, "Appointment", f"a{number}")
    two = await clinic.store.read(context, "Slot", f"t{number}")
    return one.resource["status"], two.resource["status"]


async def test_readers_see_the_lapse_within_a_second(clinic: Clinic, settings: Settings) -> None:
    """The Appointment is cancelled and the Slot free, written by the sequencer's process."""
    async with running(run_sequencer(settings)):
        await hold(clinic, 1)
        end = system_clock() + timedelta(seconds=1)
        assert await statuses(clinic, 1) == ("pending", "busy-tentative")
        while await statuses(clinic, 1) != ("cancelled", "free"):
            assert system_clock() < end + timedelta(seconds=1)
            await asyncio.sleep(0.02)
        assert system_clock() >= end - timedelta(milliseconds=50)


async def test_many_lapse_at_once_and_two_sweep(clinic: Clinic, settings: Settings) -> None:
    """Each hold is cancelled once, whoever is first; afterwards there is nothing to do."""
    await asyncio.gather(*(hold(clinic, number) for number in range(30)))
    database = clinic.store.database(TENANT)
    writer = status_writer(clinic.store, settings)
    while len(await lapsed_holds(database, system_clock(), 100)) < 30:
        await asyncio.sleep(0.05)
    done = await asyncio.gather(*(sweep(database, writer, system_clock) for _ in range(2)))
    assert sum(done) == 30
    for number in range(30):
        assert await statuses(clinic, number) == ("cancelled", "free")
        stored = await clinic.store.read(clinic.context(), "Appointment", f"a{number}")
        assert stored.version == 2
    assert await lapsed_holds(database, system_clock(), 100) == []
    assert await database["cells"].count_documents({}) == 0


async def test_the_search_for_lapsed_holds_uses_its_index(clinic: Clinic) -> None:
    """However many bookings there are."""
    await hold(clinic, 1)
    database = clinic.store.database(TENANT)
    plan = await database["cells"].find({"x": {"$lte": 0}}).sort("x", 1).explain()
    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])

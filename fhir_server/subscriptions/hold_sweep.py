"""The sweep that writes what has already happened: holds that have lapsed.

Nothing depends on it but what readers see. From its end on a hold binds nobody, whether it was
swept or not; so several processes may sweep, or none, and it needs no lease.
"""

import asyncio

import structlog

from fhir_server.context import Clock
from fhir_server.fhir.errors import Transient
from fhir_server.scheduling.holds import plan_lapse
from fhir_server.store.find import Database
from fhir_server.store.lapsed import lapsed_holds
from fhir_server.subscriptions.lifecycle import StatusWriter

log = structlog.get_logger()

BATCH = 200
RETRY_SECONDS = 0.5


async def sweep(database: Database, writer: StatusWriter, clock: Clock) -> int:
    """Cancel every Appointment whose hold has lapsed.

    Returns:
        How many were cancelled.

    Raises:
        Transient: MongoDB is not available.
    """
    cancelled = 0
    while found := await lapsed_holds(database, clock(), BATCH):
        done = sum(await asyncio.gather(*(writer.write(plan_lapse(one)) for one in found)))
        cancelled += done
        if not done:
            # Somebody else is doing the same.
            break
    return cancelled


async def keep_sweeping(
    database: Database, writer: StatusWriter, clock: Clock, seconds: float
) -> None:
    """Sweep again and again until cancelled; a failure is logged and tried again."""
    while True:
        try:
            await sweep(database, writer, clock)
        except Transient:
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            log.exception("hold_sweep_failed")
            await asyncio.sleep(RETRY_SECONDS)
        await asyncio.sleep(seconds)

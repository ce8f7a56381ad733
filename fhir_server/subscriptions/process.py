"""The sequencer and the deliverer as processes: their parts put together, started and stopped."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress

import structlog
import uvloop

from fhir_server.context import system_clock
from fhir_server.definitions.loader import load
from fhir_server.fhir.ids import time_ordered_id
from fhir_server.settings import Settings
from fhir_server.store.clients import Clients
from fhir_server.store.deliveries import DeliveryLog
from fhir_server.store.events import EventLog
from fhir_server.store.leases import Leases
from fhir_server.store.store import Store
from fhir_server.subscriptions.cancellation import end
from fhir_server.subscriptions.channels.rest_hook import RestHook
from fhir_server.subscriptions.deliverer import Deliverer
from fhir_server.subscriptions.drain import Tools
from fhir_server.subscriptions.hints import Hints
from fhir_server.subscriptions.hold_sweep import keep_sweeping
from fhir_server.subscriptions.leadership import lead
from fhir_server.subscriptions.lifecycle import StatusWriter
from fhir_server.subscriptions.rights import Rights
from fhir_server.subscriptions.sequencer import LEASE, Sequencer

log = structlog.get_logger()

TENANT = "default"
STOP_SECONDS = 4.0


def run_until_signalled(work: Coroutine[object, object, None]) -> None:
    """Run the work until it ends, or SIGTERM or SIGINT comes: then it has seconds to clean up."""
    uvloop.run(_until_signalled(work))


async def _until_signalled(work: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(work)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    waiting = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not task.done():
        _, late = await asyncio.wait({asyncio.ensure_future(end({task}))}, timeout=STOP_SECONDS)
        if late:
            log.warning("stopped_without_cleaning_up")
            os._exit(0)
    with suppress(asyncio.CancelledError):
        task.result()


def status_writer(store: Store, settings: Settings) -> StatusWriter:
    """Writes Subscriptions of the default tenant as the server itself."""
    return StatusWriter(
        store,
        tenant=TENANT,
        base_url=settings.fhir_base,
        clock=system_clock,
        new_id=time_ordered_id,
    )


async def run_sequencer(settings: Settings) -> None:
    """Be the sequencer, or stand by, until cancelled."""
    registry = load()
    store = await Store.open(settings, registry)
    hints = _hints(settings)
    sweeping: asyncio.Task[None] | None = None
    try:
        database = store.database(TENANT)
        writer = status_writer(store, settings)
        sequencer = Sequencer(
            EventLog(database),
            hints,
            writer,
            registry=registry,
            settings=settings,
            clock=system_clock,
        )
        sweeping = asyncio.create_task(
            keep_sweeping(database, writer, system_clock, settings.hold_sweep_seconds)
        )
        await lead(Leases(database), LEASE, time_ordered_id(), sequencer.serve)
    finally:
        if sweeping is not None:
            await end([sweeping])
        await hints.close()
        await store.close()


async def run_deliverer(settings: Settings) -> None:
    """Deliver until cancelled."""
    registry = load()
    store = await Store.open(settings, registry)
    hints = _hints(settings)
    hook = RestHook(settings)
    try:
        database = store.database(TENANT)
        events = EventLog(database)
        await events.prepare()
        tools = Tools(
            deliveries=DeliveryLog(database),
            events=events,
            hook=hook,
            rights=Rights(registry, settings, Clients(store.connection.control)),
            status=status_writer(store, settings),
            settings=settings,
            clock=system_clock,
            holder=time_ordered_id(),
        )
        await Deliverer(tools, hints).run()
    finally:
        await hook.close()
        await hints.close()
        await store.close()


def _hints(settings: Settings) -> Hints:
    url = settings.redis_url or "redis://127.0.0.1:6379/0"
    return Hints(url, f"{settings.database_prefix}_{TENANT}")

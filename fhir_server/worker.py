"""The Celery application: housekeeping that time makes necessary.

Redis only carries the request to do something now. Every task finds in MongoDB what is to be done
and can be repeated or lost without harm; nothing is ever scheduled for later in the broker,
because a broker that redelivers unacknowledged messages runs such tasks several times.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from threading import Lock

from celery import Celery
from celery.beat import Scheduler

from fhir_server.context import system_clock
from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.settings import Settings
from fhir_server.store.deliveries import DeliveryLog
from fhir_server.store.store import Store
from fhir_server.subscriptions.hold_sweep import sweep
from fhir_server.subscriptions.housekeeping import purge_deliveries, turn_off_ended
from fhir_server.subscriptions.process import TENANT, status_writer

QUEUE = "housekeeping"
VISIBILITY_SECONDS = 600
"""Far longer than any task here takes; a lost one is asked for again by the next beat anyway."""
SOCKET_SECONDS = 10
PURGE_SECONDS = 3_600.0

TURN_OFF = "fhir_server.turn_off_ended_subscriptions"
SWEEP_SECONDS = 5.0
"""The sequencer sweeps far more often; this is for a clinic that runs none."""

SWEEP = "fhir_server.sweep_lapsed_holds"
PURGE = "fhir_server.purge_deliveries"

Job = Callable[[Store, DeliveryLog], Awaitable[int]]


def create(settings: Settings) -> Celery:
    """The application of one process.

    Args:
        settings: with the URLs of MongoDB and Redis filled in.
    """
    app = Celery("fhir_server", broker=settings.redis_url, set_as_current=False)
    prefix = f"{settings.database_prefix}_{TENANT}:celery:"
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": 10,
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "global_keyprefix": prefix,
        },
        visibility_timeout=VISIBILITY_SECONDS,
        beat_scheduler=Scheduler,
        beat_schedule={
            "turn-off-ended-subscriptions": {
                "task": TURN_OFF,
                "schedule": settings.housekeeping_seconds,
                # A backlog of the same request helps nobody.
                "options": {"expires": settings.housekeeping_seconds},
            },
            "sweep-lapsed-holds": {
                "task": SWEEP,
                "schedule": SWEEP_SECONDS,
                "options": {"expires": SWEEP_SECONDS},
            },
            "purge-deliveries": {
                "task": PURGE,
                "schedule": PURGE_SECONDS,
                "options": {"expires": PURGE_SECONDS},
            },
        },
    )
    _add_tasks(app, settings)
    return app


def _add_tasks(app: Celery, settings: Settings) -> None:
    loading = Lock()
    compiled = cache(load)

    def registry() -> Registry:
        # Tasks run in threads, and compiling takes far longer than any of them.
        with loading:
            return compiled()

    async def off(store: Store, deliveries: DeliveryLog) -> int:
        return await turn_off_ended(deliveries, status_writer(store, settings), system_clock)

    async def lapse(store: Store, _: DeliveryLog) -> int:
        return await sweep(store.database(TENANT), status_writer(store, settings), system_clock)

    async def purge(_: Store, deliveries: DeliveryLog) -> int:
        return await purge_deliveries(deliveries, settings, system_clock)

    # Celery writes the signature of a task as source, so a task needs a name: no lambdas.
    def run_off() -> int:
        return asyncio.run(_with_store(settings, registry(), off))

    def run_sweep() -> int:
        return asyncio.run(_with_store(settings, registry(), lapse))

    def run_purge() -> int:
        return asyncio.run(_with_store(settings, registry(), purge))

    # Not shared: each application has its own settings, and so its own tasks.
    app.task(run_off, name=TURN_OFF, shared=False)
    app.task(run_sweep, name=SWEEP, shared=False)
    app.task(run_purge, name=PURGE, shared=False)


async def _with_store(settings: Settings, registry: Registry, job: Job) -> int:
    store = await Store.open(settings, registry)
    try:
        return await job(store, DeliveryLog(store.database(TENANT)))
    finally:
        await store.close()

"""One process at a time does a job; the others stand by."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from fhir_server.fhir.errors import Transient
from fhir_server.store.leases import Lease, Leases
from fhir_server.subscriptions.cancellation import end

log = structlog.get_logger()

LEASE_SECONDS = 5.0
RENEW_SECONDS = 1.5
CLAIM_SECONDS = 0.5
RETRY_SECONDS = 0.3


async def lead(
    leases: Leases, name: str, holder: str, work: Callable[[int], Awaitable[None]]
) -> None:
    """Do the work whenever the lease is ours, until cancelled; the lease is then released.

    Args:
        leases: the tenant's.
        name: the job.
        holder: this process, unique.
        work: called with the epoch of the lease, again and again; cancelled when the lease is
            lost. Its failures are logged and it is tried again.
    """
    lease: Lease | None = None
    try:
        while True:
            try:
                lease = await leases.acquire(name, holder, LEASE_SECONDS)
                if lease is None:
                    await asyncio.sleep(CLAIM_SECONDS)
                else:
                    await _hold(leases, lease, work)
            except Transient as error:
                log.warning("leader_waits", job=name, reason=error.diagnostics)
                await asyncio.sleep(RETRY_SECONDS)
    finally:
        if lease is not None:
            with suppress(Transient):
                await leases.release(lease)


async def _hold(leases: Leases, lease: Lease, work: Callable[[int], Awaitable[None]]) -> None:
    working = asyncio.create_task(_repeat(lease, work))
    try:
        while True:
            done, _ = await asyncio.wait({working}, timeout=RENEW_SECONDS)
            if done:
                working.result()
                return
            if not await leases.renew(lease, LEASE_SECONDS):
                log.warning("lease_lost", job=lease.name, epoch=lease.epoch)
                return
    finally:
        await end({working})


async def _repeat(lease: Lease, work: Callable[[int], Awaitable[None]]) -> None:
    while True:
        try:
            await work(lease.epoch)
        except Transient as error:
            log.warning("leader_waits", job=lease.name, reason=error.diagnostics)
        except Exception:
            log.exception("leader_failed", job=lease.name, epoch=lease.epoch)
        await asyncio.sleep(RETRY_SECONDS)

"""What time alone makes necessary: Subscriptions end, old deliveries are forgotten."""

from datetime import timedelta

from fhir_server.context import Clock
from fhir_server.settings import Settings
from fhir_server.store.deliveries import DeliveryLog
from fhir_server.subscriptions.lifecycle import StatusWriter, plan_end


async def turn_off_ended(deliveries: DeliveryLog, status: StatusWriter, clock: Clock) -> int:
    """Turn Subscriptions off whose `end` has passed.

    Returns:
        How many were turned off.

    Raises:
        Transient: MongoDB is not available.
    """
    off = 0
    for subscription in await deliveries.ended(clock()):
        off += await status.write(plan_end(subscription))
    return off


async def purge_deliveries(deliveries: DeliveryLog, settings: Settings, clock: Clock) -> int:
    """Forget what was delivered longer ago than the settings say.

    Returns:
        How many deliveries were forgotten.

    Raises:
        Transient: MongoDB is not available.
    """
    age = timedelta(seconds=settings.delivery_retention_seconds)
    return await deliveries.purge(clock() - age)

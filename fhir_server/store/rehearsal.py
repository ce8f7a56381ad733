"""A write played through up to the point where it would be written."""

import asyncio

from fhir_server.auth.restrictions import Restrictions
from fhir_server.context import RequestContext
from fhir_server.scheduling.plan import Decide
from fhir_server.settings import Settings
from fhir_server.store.collections import Collections
from fhir_server.store.commit import Batch
from fhir_server.store.store import Store
from fhir_server.store.transaction import Member, Transactions


async def rehearse(
    store: Store, settings: Settings, context: RequestContext, decide: Decide
) -> None:
    """Find out whether `Store.run` would accept a decision now. Nothing is written.

    The decision, the scheduling guard, the token's constraints and the index have their say, as
    they would; only the commit is left out.

    Raises:
        FhirError: the refusal.
    """
    restrictions = Restrictions(store.registry, settings)
    transactions = Transactions(store.connection, Collections(), store.registry, restrictions)
    loop = asyncio.get_running_loop()
    member = Member(context, decide, "rehearsal", loop.create_future(), loop.time())
    for decided in await transactions.decide(context.tenant, [member]):
        transactions.add(Batch("", context.now), decided)
    if member.future.done():
        member.future.result()

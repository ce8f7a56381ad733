"""Runs the operations whose answers show an Appointment."""

from fhir_server.context import RequestContext
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.named import aims_of
from fhir_server.scheduling.plan import Decide, Plan, View
from fhir_server.store.refusals import not_found
from fhir_server.store.store import Store
from fhir_server.store.transaction import Committed


async def run_on_appointment(
    store: Store,
    ctx: RequestContext,
    appointment: Resource | str,
    decide: Decide,
    *,
    interaction: str,
) -> Committed:
    """As `Store.run`; who gives only a reference must be allowed to read what it leads to.

    Args:
        store: runs it.
        ctx: who asks.
        appointment: what the operation is about: content, or a stored one's reference.
        decide: what the operation does.
        interaction: for the audit trail.

    Raises:
        Forbidden: the token allows to read no Appointment.
        NotFound: the stored one is outside the constraints of the token's granular scopes.
        FhirError: as `Store.run`.
    """
    aims = aims_of(appointment, ctx.base_url)
    if not isinstance(appointment, str):
        return await store.run(ctx, decide, interaction=interaction, aims=aims)
    admits = store.reach(ctx, "Appointment", "read")

    def decide_on_shown(view: View) -> Plan:
        for resource_type, logical_id in aims:
            stored = view.get(resource_type, logical_id)
            if stored and not stored.deleted and not admits(stored.resource):
                raise not_found(resource_type, logical_id)
        return decide(view)

    return await store.run(ctx, decide_on_shown, interaction=interaction, aims=aims)

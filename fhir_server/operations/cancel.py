"""$cancel: an Appointment will not take place, and why."""

from functools import partial

from fhir_server.context import RequestContext
from fhir_server.decisions.appointment_answer import appointment_answer
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.errors import Value
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.scheduling.cancelling import plan_cancel
from fhir_server.scheduling.named import stored_appointment
from fhir_server.settings import Settings
from fhir_server.store.appointments import run_on_appointment
from fhir_server.store.store import Store


async def cancel(
    store: Store, _settings: Settings, _: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """The cancelled Appointment; its slots are free.

    Raises:
        Required: no stored Appointment is named, or several are.
        Value: the reason has no code.
        FhirError: its status does not allow it, or another client holds it.
    """
    reason = call.first("reason")
    if reason is not None and not any(one.get("code") for one in reason.get("coding", ())):
        raise Value(
            "The reason needs a coding with a code, so that programs can tell reasons apart",
            expression=["Parameters.parameter.where(name='reason')"],
        )
    reference = stored_appointment(call)
    by, comment = call.first("cancelled-by"), call.first("comment")
    decide = partial(plan_cancel, reference, reason=reason, by=by, comment=comment)
    committed = await run_on_appointment(store, ctx, reference, decide, interaction="$cancel")
    return appointment_answer(ctx.base_url, committed.result, committed.versions)

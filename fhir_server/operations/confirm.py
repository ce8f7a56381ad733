"""$confirm: everybody has agreed to a pending Appointment."""

from functools import partial

from fhir_server.context import RequestContext
from fhir_server.decisions.appointment_answer import appointment_answer
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.scheduling.booking import plan_confirm
from fhir_server.scheduling.named import stored_appointment
from fhir_server.settings import Settings
from fhir_server.store.appointments import run_on_appointment
from fhir_server.store.store import Store


async def confirm(
    store: Store, _settings: Settings, _: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """The booked Appointment.

    Raises:
        Required: no stored Appointment is named, or several are.
        FhirError: it is not pending, or another client holds it.
    """
    reference = stored_appointment(call)
    decide = partial(plan_confirm, reference)
    committed = await run_on_appointment(store, ctx, reference, decide, interaction="$confirm")
    return appointment_answer(ctx.base_url, committed.result, committed.versions)

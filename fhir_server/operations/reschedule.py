"""$reschedule: another time, got before the old one is given up."""

from functools import partial

from fhir_server.context import RequestContext
from fhir_server.decisions.appointment_answer import appointment_answer
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.scheduling.named import stored_appointment
from fhir_server.scheduling.rescheduling import NewTime, plan_reschedule
from fhir_server.settings import Settings
from fhir_server.store.appointments import run_on_appointment
from fhir_server.store.store import Store


async def reschedule(
    store: Store, _settings: Settings, _: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """The same Appointment at its new time.

    Raises:
        Required: no stored Appointment is named, or several are.
        SlotTaken: somebody else holds the new time; the old one is kept.
        FhirError: the Appointment cannot be moved, or not there.
    """
    slots = tuple(call.parameters["slot"])
    time = NewTime(slots, call.first("start"), call.first("end"))
    reference, comment = stored_appointment(call), call.first("comment")
    decide = partial(plan_reschedule, reference, time=time, comment=comment)
    committed = await run_on_appointment(store, ctx, reference, decide, interaction="$reschedule")
    return appointment_answer(ctx.base_url, committed.result, committed.versions)

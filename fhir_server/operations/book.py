"""$book: a proposed, pending or held Appointment in, a booked one out."""

from functools import partial

from fhir_server.context import RequestContext
from fhir_server.decisions.appointment_answer import appointment_answer
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.scheduling.booking import plan_book
from fhir_server.scheduling.named import named_appointment
from fhir_server.settings import Settings
from fhir_server.store.appointments import run_on_appointment
from fhir_server.store.store import Store


async def book(
    store: Store, _: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """The booked Appointment: 201 when it is new, 200 when a stored one was booked.

    Raises:
        Required: neither an Appointment nor a reference to one is given, or several are.
        SlotTaken: somebody else holds the time.
        FhirError: the Appointment cannot be booked as it is.
    """
    appointment = named_appointment(call)
    decide = partial(plan_book, appointment, new_id=new_id(), comment=call.first("comment"))
    committed = await run_on_appointment(store, ctx, appointment, decide, interaction="$book")
    return appointment_answer(ctx.base_url, committed.result, committed.versions)

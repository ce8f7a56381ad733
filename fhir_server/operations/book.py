"""$book: a proposed or pending Appointment in, a booked one out, its time held."""

from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Parameters
from fhir_server.fhir.exchange import Answer, version_of
from fhir_server.fhir.ids import IdSource
from fhir_server.scheduling.booking import plan_book
from fhir_server.store.store import Store


async def book(
    store: Store, new_id: IdSource, ctx: RequestContext, parameters: Parameters
) -> Answer:
    """201 with the booked Appointment.

    Raises:
        SlotTaken: somebody else holds the time.
        FhirError: the Appointment cannot be booked as it is.
    """
    appointment = parameters["appointment"][0]
    logical_id = new_id()
    committed = await store.run(
        ctx, lambda view: plan_book(appointment, view, logical_id), interaction="$book"
    )
    resource_type, booked_id = str(committed.result).split("/")
    booked = version_of(committed.versions, resource_type, booked_id)
    return Answer.of_written(ctx.base_url, booked, 201)

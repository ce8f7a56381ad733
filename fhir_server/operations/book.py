"""$book: a proposed or pending Appointment in, a booked one out, its time held."""

from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Parameters
from fhir_server.fhir.errors import Required
from fhir_server.fhir.exchange import Answer, version_of
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.booking import plan_book
from fhir_server.scheduling.occupancy import local_id
from fhir_server.store.store import Store


async def book(
    store: Store, new_id: IdSource, ctx: RequestContext, parameters: Parameters
) -> Answer:
    """The booked Appointment: 201 when it is new, 200 when a stored one was booked.

    Raises:
        Required: neither an Appointment nor a reference to one is given, or both are.
        SlotTaken: somebody else holds the time.
        FhirError: the Appointment cannot be booked as it is.
    """
    appointment = _chosen(parameters)
    comment = next(iter(parameters["comment"]), None)
    fresh_id = new_id()
    committed = await store.run(
        ctx,
        lambda view: plan_book(appointment, view, fresh_id, comment=comment),
        interaction="$book",
        aims=_aims(appointment, ctx.base_url),
    )
    logical_id = str(committed.result).removeprefix("Appointment/")
    booked = version_of(committed.versions, "Appointment", logical_id)
    return Answer.of_written(ctx.base_url, booked, 201 if booked.version == 1 else 200)


def _aims(appointment: Resource | str, base_url: str) -> tuple[tuple[str, str], ...]:
    """The stored Appointment that is to be booked, if it is one."""
    if isinstance(appointment, str):
        logical_id = local_id({"reference": appointment}, "Appointment", base_url)
    else:
        logical_id = appointment.get("id")
    return (("Appointment", logical_id),) if logical_id else ()


def _chosen(parameters: Parameters) -> Resource | str:
    references = [one.get("reference", "") for one in parameters["appointment-reference"]]
    given: list[Resource | str] = [*parameters["appointment-resource"], *references]
    if len(given) != 1:
        raise Required(
            "Give either appointment-resource or appointment-reference",
            expression=["Parameters.parameter"],
        )
    return given[0]

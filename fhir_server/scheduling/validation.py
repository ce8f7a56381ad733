"""`Appointment/$validate-booking`: every reason why a booking would be refused, at once."""

from dataclasses import dataclass

from fhir_server.fhir.errors import FhirError, Issues
from fhir_server.fhir.types import Resource
from fhir_server.scheduling import guard
from fhir_server.scheduling.booking import BOOKING, source, timed, written
from fhir_server.scheduling.plan import Plan, View


@dataclass(frozen=True, slots=True)
class Validated:
    """What a rehearsal has shown.

    Attributes:
        refused: what `$book` would refuse; nothing when it would book.
    """

    refused: tuple[FhirError, ...]


def plan_validation(appointment: Resource | str, view: View, new_id: str) -> Plan:
    """A plan that writes nothing; its result tells what `plan_book` and the guard would refuse."""
    try:
        logical_id, version, resource = source(appointment, view, new_id, BOOKING)
    except FhirError as refusal:
        return Plan(result=Validated(_flat(refusal)))
    found: list[FhirError] = []
    booked = {**resource, "status": "booked"}
    try:
        booked |= timed(resource, view)
    except FhirError as refusal:
        found += _flat(refusal)
    found += guard.findings(Plan((written(logical_id, version, booked),)), view)
    told = {(one.details, one.expression): one for one in reversed(found)}
    return Plan(result=Validated(tuple(reversed(told.values()))))


def _flat(error: FhirError) -> tuple[FhirError, ...]:
    return error.issues if isinstance(error, Issues) else (error,)

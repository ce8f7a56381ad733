"""$validate-booking: everything that stands in the way of a booking; nothing is ever written."""

from functools import partial

from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.errors import Issues
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.outcome import operation_outcome
from fhir_server.fhir.types import Json
from fhir_server.scheduling.named import named_appointment
from fhir_server.scheduling.validation import Validated, plan_validation
from fhir_server.settings import Settings
from fhir_server.store.appointments import run_on_appointment
from fhir_server.store.store import Store

_ALL_OK: Json = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "information",
            "code": "informational",
            "diagnostics": "It can be booked at this moment. Nothing was written.",
        }
    ],
}


async def validate_booking(
    store: Store, _: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """200 with an OperationOutcome: all refusals that $book would give, or that all is well.

    Raises:
        Required: neither an Appointment nor a reference to one is given, or several are.
    """
    appointment = named_appointment(call)
    decide = partial(plan_validation, appointment, new_id=new_id())
    committed = await run_on_appointment(
        store, ctx, appointment, decide, interaction="$validate-booking"
    )
    found = committed.result
    if not isinstance(found, Validated) or not found.refused:
        return Answer(200, encode_json(_ALL_OK))
    return Answer(200, encode_json(operation_outcome(Issues(found.refused))))

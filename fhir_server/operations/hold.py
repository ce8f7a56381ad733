"""$hold: an Appointment keeps its slots for its client, for a while."""

from functools import partial

from fhir_server.context import RequestContext
from fhir_server.decisions.appointment_answer import appointment_answer
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource
from fhir_server.scheduling.holding import HoldRules, plan_hold
from fhir_server.scheduling.named import named_appointment
from fhir_server.settings import Settings
from fhir_server.store.appointments import run_on_appointment
from fhir_server.store.store import Store


async def hold(
    store: Store, settings: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """The pending Appointment, its end in `held-until` and in the header Expires.

    201 when it is new; 200 when a stored one was held, or its hold prolonged.

    Raises:
        Required: neither an Appointment nor a reference to one is given, or several are.
        SlotTaken: somebody else holds the time.
        Conflict: too many holds, or another client's.
        FhirError: the Appointment cannot be held as it is.
    """
    rules = HoldRules(
        settings.hold_seconds, settings.hold_limit_per_patient, settings.hold_limit_per_client
    )
    appointment = named_appointment(call)
    decide = partial(plan_hold, appointment, new_id=new_id(), rules=rules)
    committed = await run_on_appointment(store, ctx, appointment, decide, interaction="$hold")
    return appointment_answer(ctx.base_url, committed.result, committed.versions)
